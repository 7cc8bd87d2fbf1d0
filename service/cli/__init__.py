"""The command line: `threenines COMMAND`; data on stdout, the rest on stderr.

Exit status: 0 fine, 1 unhealthy, breached or unknown, 2 could not run. Commands import what
they need when they run, so that an agent never loads the service's libraries.
"""

import sys

import typer

from service.cli import agent, backup, check, demo, doctor, fact, ledger, scan, serve, verify
from service.core.errors import ThreeninesError

COULD_NOT_RUN = 2


def build() -> typer.Typer:
    """Return the application: one command per file, in the order in which users meet them."""
    app = typer.Typer(
        help="Did each tenant get the availability it pays for, and if not, why?",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=True,
        rich_markup_mode=None,
    )
    for name, command in (
        ("demo", demo.demo),
        ("agent", agent.agent),
        ("serve", serve.serve),
        ("scan", scan.scan),
        ("doctor", doctor.doctor),
        ("check", check.check),
        ("import", ledger.import_spans),
        ("statement", ledger.statement),
        ("verify", verify.verify),
        ("backup", backup.backup),
    ):
        app.command(name)(command)
    app.add_typer(fact.build(), name="fact")
    return app


def main() -> None:
    """Run the command line; errors of ours are one clear message and exit status 2."""
    try:
        build()()
    except ThreeninesError as error:
        print(f"threenines: {error}", file=sys.stderr)
        raise SystemExit(COULD_NOT_RUN) from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None
