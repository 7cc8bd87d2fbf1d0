"""Each capture in `tests/captures` gives these bytes at `/metrics`, and each golden has its capture.

New hardware is a file more: `threenines scan --capture tests/captures/NAME.json` on it, then
`pytest tests/golden --refresh` here, and a look at what came out. Instants are fixed, so ages and
durations are part of the bytes.
"""

from pathlib import Path

import pytest

from collectors.catalogue import Round
from collectors.dcgm_names import DcgmNames
from collectors.exporter import Exporter
from collectors.judgement import look
from collectors.nvml import NvmlDevice
from collectors.nvml.capture import load
from collectors.nvml.replay import ReplayLibrary
from collectors.shown import Shown
from tests.processes import promtool_check

CAPTURES = Path(__file__).parents[1] / "captures"
GOLDENS = Path(__file__).parent / "metrics"
DCGM = Path(__file__).parent / "loaded.dcgm.prom"
NAMES = sorted(path.stem for path in CAPTURES.glob("*.json"))
NOW_MS, TOOK_MS = 5_000, 2


def exposition(name: str, dcgm: DcgmNames | None = None) -> bytes:
    """Return what an agent on the captured machine shows after its first look at everything."""
    device, shown = NvmlDevice(library=ReplayLibrary(load(CAPTURES / f"{name}.json"))), Shown()
    inventory = device.open()
    shown.opened(inventory)
    for gpu in (one.uuid for one in inventory.gpus):
        for at_ms, one in enumerate((Round.STATUS, Round.LINKS, Round.DETAIL, Round.STATUS), start=1):
            shown.readings[gpu], shown.read_mono_ms[gpu] = device.read(gpu), at_ms * 1_000
            shown.surveyed(device.survey(gpu, one), at_ms * 1_000 + TOOK_MS)
        shown.took_ms[gpu] = TOOK_MS
        health = look(shown.readings[gpu], inventory.cuda_version).health
        shown.health[gpu] = health.value if health is not None else "unknown"
    device.close()
    return Exporter(shown, dcgm=dcgm).render(NOW_MS)


def agree(golden: Path, shown: bytes, request: pytest.FixtureRequest) -> bool:
    """Return whether a golden holds these bytes, after rewriting it where that was asked for."""
    if request.config.getoption("--refresh"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_bytes(shown)
    return golden.read_bytes() == shown


@pytest.mark.parametrize("name", NAMES)
def test_a_captured_machine_shows_these_bytes(name: str, request: pytest.FixtureRequest) -> None:
    """The exposition of a capture is the golden, byte for byte."""
    assert agree(GOLDENS / f"{name}.prom", exposition(name), request)


def test_a_loaded_tray_shows_these_bytes_under_dcgm_exporters_names(request: pytest.FixtureRequest) -> None:
    """The families that `--dcgm-names` adds are the golden; the native ones stay as they were."""
    native = exposition("loaded").splitlines(keepends=True)
    both = exposition("loaded", DcgmNames("tray", label="Hostname")).splitlines(keepends=True)
    added = [line for line in both if b"DCGM_" in line]

    assert [line for line in both if b"DCGM_" not in line] == native
    assert agree(DCGM, b"".join(added), request)


@pytest.mark.parametrize("name", NAMES)
def test_promtool_accepts_each(name: str) -> None:
    """Every golden is an exposition without a flaw."""
    checked = promtool_check((GOLDENS / f"{name}.prom").read_text())

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_each_golden_has_its_capture() -> None:
    """No golden is left over, and there is one for every capture."""
    assert sorted(path.stem for path in GOLDENS.glob("*.prom")) == NAMES
    assert NAMES
