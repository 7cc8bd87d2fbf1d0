"""Where GPUs sit, who is missing, and who is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.device import GpuIdentity, Inventory
from collectors.settling import Memory, reseat, sift, unseen
from service.core import limits

EMPTY = Inventory(gpus=(), driver_version="580", nvml_version="13", cuda_version=13_000)


def _gpu(uuid: str, position: int) -> GpuIdentity:
    return GpuIdentity(
        uuid=uuid, position=position, index=position, module="m", module_id=1, name="GB300", pci_bus_id=f"{position}"
    )


def _tray(*uuids: str) -> Inventory:
    return replace(EMPTY, gpus=tuple(_gpu(uuid, at) for at, uuid in enumerate(uuids)))


@given(
    st.lists(st.sampled_from("abcdef"), unique=True),
    st.dictionaries(st.integers(0, 7), st.sampled_from("abcdef"), max_size=4).filter(
        lambda known: len(set(known.values())) == len(known)
    ),
)
def test_no_two_gpus_share_a_seat_and_nobody_known_is_moved(found: list[str], known: dict[int, str]) -> None:
    """Who was known keeps the seat; newcomers take free ones; who is gone holds a seat nobody took."""
    seated, gone = reseat(_tray(*found).gpus, known)
    seat = {gpu.uuid: gpu.position for gpu in seated}

    assert len(set(seat.values())) == len(found)
    assert all(seat[uuid] == at for at, uuid in known.items() if uuid in seat)
    assert not set(gone) & set(seat.values())
    assert not set(gone.values()) & set(seat)


@given(st.lists(st.text(max_size=5) | st.sampled_from(["GPU-1", "GPU-2", "GPU-3"]), max_size=20))
def test_every_gpu_is_kept_once_or_refused_with_a_reason(uuids: list[str]) -> None:
    """Kept UUIDs are unique, legal and not too many; everyone else is named."""
    kept, refused = sift(_tray(*uuids))
    names = [gpu.uuid for gpu in kept.gpus]

    assert len(set(names)) == len(names) <= limits.GPUS_PER_NODE
    assert len(names) + len(refused) == len(uuids)
    assert {one.reason for one in refused} <= {"repeated_uuid", "garbled_uuid", "too_many"}
    assert {name for name in names if uuids.count(name) > 1} == set()


def test_garbage_texts_fit_into_a_fact() -> None:
    """Names and versions are cut and made encodable; they are texts, not identities."""
    garbled = replace(_tray("GPU-1"), driver_version="\udcff" * 5_000)
    kept, refused = sift(garbled)

    assert refused == ()
    assert len(kept.driver_version.encode()) <= 1_024


def test_memory_keeps_seats_over_restarts_and_names_who_is_missing(tmp_path: Path) -> None:
    """A GPU that is gone is missing at its place; one in its seat takes it over for good."""
    path = tmp_path / "inventory.json"
    Memory(path).settle(_tray("a", "b", "c"))
    settled = Memory(path).settle(_tray("a", "c"))

    assert {gpu.uuid: gpu.position for gpu in settled.inventory.gpus} == {"a": 0, "c": 2}
    assert [(one.gpu, one.position) for one in settled.missing] == [("b", 1)]
    assert [gpu.uuid for gpu in unseen(Memory(path).recall()).gpus] == ["a", "b", "c"]


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"x": "a"}', '{"99": "a", "1": "\\ud800", "2": "ok"}', "\x00"])
def test_a_damaged_memory_is_no_memory(tmp_path: Path, text: str) -> None:
    """Whatever stands in the file, only legal seats of legal UUIDs come out of it, and nothing raises."""
    path = tmp_path / "inventory.json"
    path.write_text(text)

    assert Memory(path).recall() in ({}, {2: "ok"})


def test_a_memory_without_a_place_forgets(tmp_path: Path) -> None:
    """Beside a disk that refuses nothing is remembered; the tray is settled all the same."""
    nowhere = tmp_path / "missing" / "inventory.json"

    assert Memory(nowhere).settle(_tray("a")).inventory.gpus[0].uuid == "a"
    assert Memory(nowhere).recall() == {}


def test_the_file_is_replaced_whole(tmp_path: Path) -> None:
    """What is on disk is one JSON object at any time; nothing is left beside it."""
    path = tmp_path / "inventory.json"
    for tray in (_tray("a"), _tray("a", "b"), _tray("b")):
        Memory(path).settle(tray)
        json.loads(path.read_text())

    assert [found.name for found in tmp_path.iterdir()] == ["inventory.json"]
