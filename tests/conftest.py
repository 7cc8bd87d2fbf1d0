"""Settings that every test shares; nothing here starts or builds anything."""

import os

from hypothesis import settings

# In CI the same commit finds the same examples; at a desk each run looks somewhere new.
# No deadline: two shared cores say nothing about a single example's time.
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("desk", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "desk")
