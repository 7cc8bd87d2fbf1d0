"""Lines of the kernel log: which are believed, what they say, and that none is too strange."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.kernel_lines import (
    UNKNOWN_ACTION,
    Header,
    Notice,
    Rejected,
    parse_action,
    parse_address,
    parse_header,
    parse_message,
)

FATAL = "149, NETIR_LINK_DOWN Fatal XC0 i0 Link 09 (0x02500011 0x00000000 0x00000000)"


def notice(text: str) -> Notice:
    """Return what a message says, which must be something."""
    found = parse_message(text.encode())
    assert isinstance(found, Notice), found
    return found


@pytest.mark.parametrize("bus_id", ["0009:01:00", "00000009:01:00.0", "PCI:0009:01:00", "9:1:0"])
def test_an_address_is_the_same_in_every_spelling(bus_id: str) -> None:
    """Width of the domain and the function make no difference."""
    assert parse_address(bus_id) == (9, 1, 0)


def test_an_address_is_the_same_in_upper_and_lower_case() -> None:
    """Drivers write 0xAB both ways."""
    assert parse_address("000000aB:C1:1f.0") == parse_address("AB:c1:1F") == (0xAB, 0xC1, 0x1F)


def test_a_header_names_the_record_and_its_writer() -> None:
    """Facility 0 is the kernel; what a process writes is something else."""
    assert parse_header(b"4,812,99000123,-;NVRM: x") == (Header(seq=812, at_us=99_000_123, kernel=True), b"NVRM: x")
    assert parse_header(b"12,812,99000123,-,caller=T1;x") == (Header(seq=812, at_us=99_000_123, kernel=False), b"x")
    assert parse_header(b"no header at all") is None


@pytest.mark.parametrize(
    "text",
    [
        "NVRM: Xid (PCI:0009:01:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
        "NVRM: Xid (PCI:0009:01:00): 79, GPU has fallen off the bus.",
        "NVRM: Xid (PCI:00000009:01:00.0 GPU-I:05): 79, pid=1, name=a",
        "NVRM: Xid (0009:01:00): 79",
    ],
)
def test_an_xid_is_read_whatever_stands_around_it(text: str) -> None:
    """Process, instance and words may be there or not."""
    found = notice(text)

    assert (found.address, found.code) == ((9, 1, 0), 79)


def test_an_nvlink_line_carries_its_details() -> None:
    """Sub-unit, severity and link come with the number."""
    found = notice(f"NVRM: Xid (PCI:0009:01:00): {FATAL}")

    assert found.detail is not None
    assert (found.detail.sub_unit, found.detail.fatal, found.detail.link) == ("NETIR_LINK_DOWN", True, 9)


@pytest.mark.parametrize(
    ("words", "action"),
    [
        ("GPU recovery action changed from 0x0 (None) to 0x4 (Drain and Reset)", 4),
        ("GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)", 0),
        ("GPU recovery action changed from 0x0 (None) to 0x2 (OS Reboot)", 2),
        ("Node Reboot Required", 2),
        ("Drain P2P", 3),
        ("Something Newer Required", UNKNOWN_ACTION),
        ("", None),
    ],
)
def test_the_recovery_action_is_read_by_number_and_else_by_words(words: str, action: int | None) -> None:
    """Words nobody knows are an action nobody knows, not none."""
    assert parse_action(words) == action


@pytest.mark.parametrize(
    "text",
    [
        "NVRM: GPU 0009:01:00.0: GPU has fallen off the bus.",
        "NVRM: GPU at PCI:0009:01:00: GPU has fallen off the bus.",
        (
            "NVRM: The NVIDIA GPU 0009:01:00.0\\x0aNVRM: (PCI ID: 10de:31c2) installed in this system has"
            "\\x0aNVRM: fallen off the bus and is not responding to commands."
        ),
    ],
)
def test_a_fall_off_the_bus_needs_no_xid(text: str) -> None:
    """The address says whose it is; device ids are no address."""
    found = notice(text)

    assert (found.address, found.code) == ((9, 1, 0), None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NVRM: Xid (PCI:0009:01:00): 99999999, x", "absurd_code"),
        ("NVRM: Xid (PCI:0009:01:00): 0, x", "absurd_code"),
        ("NVRM: Xid (PCI:zzzz): 79, x", "malformed"),
        ("NVRM: Xid", "malformed"),
        ("NVRM: fallen off the bus and is not responding to commands.", "no_address"),
    ],
)
def test_a_line_that_cannot_be_believed_is_rejected_with_a_word(text: str, reason: str) -> None:
    """Rejected is neither silence nor evidence."""
    assert parse_message(text.encode()) == Rejected(reason)


@pytest.mark.parametrize(
    "text",
    [
        "usb 1-1: new device NVRM: Xid (PCI:0009:01:00): 79, GPU has fallen off the bus.",
        "audit: comm=NVRM: Xid (PCI:0009:01:00): 79",
        "NVRM: loading NVIDIA UNIX Open Kernel Module",
        "",
    ],
)
def test_a_fault_in_the_middle_of_a_line_is_somebodys_words(text: str) -> None:
    """Only where the driver begins a line is it the driver that speaks."""
    assert parse_message(text.encode()) is None


@given(st.binary(max_size=400), st.sampled_from([b"", b"NVRM: ", b"NVRM: Xid (PCI:0009:01:00): ", b"4,1,2,-;NVRM: "]))
def test_no_bytes_are_too_strange(tail: bytes, head: bytes) -> None:
    """Parsing returns whatever comes, and what it keeps is printable."""
    found = parse_message(head + tail)
    split = parse_header(head + tail)

    assert split is None or split[0].seq >= 0
    assert not isinstance(found, Notice) or found.text.isprintable()


@given(st.integers(0, 2**32 - 1), st.integers(0, 255), st.integers(0, 31), st.integers(1, 65_535))
def test_every_line_that_the_driver_can_write_is_understood(domain: int, bus: int, device: int, code: int) -> None:
    """Address and number come back as they were written."""
    found = notice(f"NVRM: Xid (PCI:{domain:04x}:{bus:02x}:{device:02x}): {code}, pid=1, name=python3, Ch 00000008")

    assert (found.address, found.code) == ((domain, bus, device), code)
