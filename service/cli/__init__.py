"""The command line: `threenines COMMAND`; data on stdout, the rest on stderr.

Exit status: 0 fine, 1 unhealthy, breached or unknown, 2 could not run. Commands import what
they need when they run, so that an agent never loads the service's libraries.
"""

import inspect
import re
import sys
from collections.abc import Callable

import typer

from service.cli import agent, backup, check, demo, doctor, explain, fact, lean, ledger, scan, serve, statement, verify
from service.core.errors import ThreeninesError

COULD_NOT_RUN = 2
_EXAMPLES = re.compile(r"(Examples?|Without a GPU):")


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
        ("statement", statement.statement),
        ("explain", explain.explain),
        ("verify", verify.verify),
        ("backup", backup.backup),
    ):
        app.command(name, help=_as_written(command.__doc__ or ""))(command)
    app.add_typer(fact.build(), name="fact")
    return app


def _as_written(text: str) -> str:
    """Return help whose examples keep their lines: click rewraps a paragraph unless it begins with its mark."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(f"\b\n{one}" if _EXAMPLES.match(one) else one for one in paragraphs)


def main() -> None:
    """Run the command line."""
    guard(build())


def guard(call: Callable[[], object]) -> None:
    """Run a command; errors of ours are one clear message and exit status 2."""
    try:
        call()
    except ThreeninesError as error:
        print(f"threenines: {error}", file=sys.stderr)
        raise SystemExit(COULD_NOT_RUN) from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def resume(command: str, text: str) -> None:
    """Run a command in the process that `lean.shed` made of it."""
    sys.modules["rich"] = None  # type: ignore[assignment]  # as if not installed: structlog loads it on sight
    commands = {"agent": agent.agent}
    guard(lambda: commands[command](**lean.options_of(text)))
