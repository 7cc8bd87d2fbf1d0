"""`python -m service`: the same as `threenines`."""

from service.cli import main

main()
