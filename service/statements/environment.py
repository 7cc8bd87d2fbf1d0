"""What a number was computed with: the release of this engine and of the time zone data."""

import zoneinfo
from importlib.metadata import version
from pathlib import Path

import tzdata


def engine_version() -> str:
    """Return the version of this release."""
    return version("threenines")


def tzdata_version() -> str:
    """Return the release of the IANA database that zones come from: the system's before the package's."""
    for directory in zoneinfo.TZPATH:
        path = Path(directory) / "tzdata.zi"
        if path.is_file():
            with path.open(encoding="ascii", errors="replace") as file:
                return file.readline().removeprefix("# version ").strip()
    return str(tzdata.IANA_VERSION)
