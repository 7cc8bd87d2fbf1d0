"""Lint, types and the direction of imports are tests like others."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["lint-imports"], ["mypy"]],
    ids=["ruff", "format", "imports", "types"],
)
def test_tool_finds_nothing(command: list[str]) -> None:
    """Each tool that guards style, types and architecture has nothing to say."""
    done = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_agent_loads_nothing_of_the_service() -> None:
    """The agent's modules import neither pydantic nor FastAPI nor SQLAlchemy: it stays small."""
    code = "import collectors.agent, collectors.nvml, collectors.exporter, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert not {"pydantic", "fastapi", "sqlalchemy", "numpy"} & set(done.stdout.split())
