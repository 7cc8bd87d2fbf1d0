"""Build the simulated driver library against the vendor header.

The header comes from the installed `nvidia-nvml-dev` distribution and is only read: the build
takes the names of all declared functions from it, so that every one of them is exported, and the
compiler takes the layouts of its structs. A finished build is kept under the hash of everything
that went into it; two processes may build at once, the slower one throws its result away.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path

SOURCES = Path(__file__).parent
CACHE = SOURCES / "build"
SONAME = "libnvidia-ml.so.1"
DRIVER_LIBRARY = "libnvidia-ml.so.1"
CONTROL_LIBRARY = "libfakecontrol.so"

CONTROL_ONLY = ("control.c", "control_counters.c")
CONTROL_SOURCES = (*CONTROL_ONLY, "event_ring.c", "gpm_table.c", "throttle.c")
FLAGS = ("-std=gnu11", "-O1", "-g0", "-fPIC", "-shared", "-fvisibility=hidden")
# Deprecated functions are declared so and implemented on purpose.
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-deprecated-declarations")

_DECLARATION = re.compile(r"^[^#*/\n]*\bDECLDIR\b[^(;]*?\b(nvml[A-Z]\w*)\s*\(", re.MULTILINE)


class FakeDriverBuildError(Exception):
    """The simulated driver cannot be built here: no header, no compiler, or broken source."""


def header() -> Path:
    """Return the path of the installed nvml.h."""
    try:
        files = metadata.files("nvidia-nvml-dev") or []
    except metadata.PackageNotFoundError as error:
        message = "the nvidia-nvml-dev distribution is not installed"
        raise FakeDriverBuildError(message) from error
    for file in files:
        if file.name == "nvml.h":
            return Path(str(file.locate()))
    message = "the nvidia-nvml-dev distribution holds no nvml.h"
    raise FakeDriverBuildError(message)


def declared_functions() -> tuple[str, ...]:
    """Return the name of every function that nvml.h declares, in its order."""
    text = header().read_text(encoding="utf-8")
    return tuple(dict.fromkeys(_DECLARATION.findall(text)))


def build(cache_dir: Path | None = None) -> Path:
    """Return the directory that holds the libraries, building them if it is not there yet.

    Args:
        cache_dir: Where finished builds are kept; by default beside the sources.

    Raises:
        FakeDriverBuildError: If the header or the compiler is missing, or compiling fails.
    """
    cache_dir = cache_dir or CACHE
    target = cache_dir / _digest()
    if not target.is_dir():
        cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_dir) as scratch:
            finished = Path(scratch) / "finished"
            finished.mkdir()
            _build_into(finished)
            _publish(finished, target)
    return target


def _publish(finished: Path, target: Path) -> None:
    try:
        finished.rename(target)
    except OSError:
        if not target.is_dir():  # anything but another process having been faster
            raise


def _source_files() -> list[Path]:
    return sorted(file for file in SOURCES.iterdir() if file.suffix in {".c", ".h"})


def _digest() -> str:
    digest = hashlib.sha256()
    for file in [*_source_files(), Path(__file__), header()]:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    digest.update(platform.machine().encode())
    return digest.hexdigest()[:16]


def _layout_hash() -> str:
    digest = hashlib.sha256((SOURCES / "state.h").read_bytes()).hexdigest()
    return f"0x{digest[:16]}ull"


def _build_into(directory: Path) -> None:
    names = declared_functions()
    generated = directory / "generated"
    generated.mkdir()
    (generated / "functions.h").write_text(_functions_header(names), encoding="utf-8")
    (generated / "functions.c").write_text(_functions_source(names), encoding="utf-8")
    (generated / "stubs.c").write_text(_stubs_source(names), encoding="utf-8")
    control = [SOURCES / name for name in CONTROL_SOURCES]
    driver = [file for file in _source_files() if file.suffix == ".c" and file.name not in CONTROL_ONLY]
    _compile(
        directory / DRIVER_LIBRARY,
        [*driver, generated / "functions.c", generated / "stubs.c"],
        f"-Wl,-soname,{SONAME}",
        "-pthread",
    )
    _compile(directory / CONTROL_LIBRARY, [*control, generated / "functions.c"])
    (directory / "libnvidia-ml.so").symlink_to(DRIVER_LIBRARY)


def _compile(output: Path, sources: list[Path], *extra: str) -> None:
    compiler = shutil.which(os.environ.get("CC", "gcc"))
    if compiler is None:
        message = "no C compiler to build the simulated driver with"
        raise FakeDriverBuildError(message)
    command = [compiler, *FLAGS, *WARNINGS, f"-DFAKE_LAYOUT_HASH={_layout_hash()}"]
    command += [f"-I{SOURCES}", f"-I{output.parent / 'generated'}", f"-I{header().parent}"]
    command += [*map(str, sources), *extra, "-o", str(output)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise FakeDriverBuildError(result.stderr)


def _functions_header(names: tuple[str, ...]) -> str:
    members = "".join(f"    FN_{name},\n" for name in names)
    return (
        "/* Generated. */\n#ifndef FAKEDRIVER_FUNCTIONS_H\n#define FAKEDRIVER_FUNCTIONS_H\n"
        f"enum fakeFunction {{\n{members}    FN_COUNT\n}};\n"
        "extern const char *const fakeFunctionNames[];\n#endif\n"
    )


def _functions_source(names: tuple[str, ...]) -> str:
    members = "".join(f'    "{name}",\n' for name in names)
    return (
        '/* Generated. */\n#include "functions.h"\n#include "state.h"\n'
        '_Static_assert(FN_COUNT <= FAKE_FUNCTIONS, "the state holds one counter per function");\n'
        f"const char *const fakeFunctionNames[] = {{\n{members}}};\n"
    )


def _stubs_source(names: tuple[str, ...]) -> str:
    # Weak, so that a real implementation wins without a list of which exist. The arguments are
    # left out: a function that ignores them is called the same way with any.
    stubs = "".join(f"STUB({name})\n" for name in names if name != "nvmlErrorString")
    return (
        '/* Generated. */\n#include "functions.h"\n'
        "int fakeStub(enum fakeFunction function);\n"
        "#define STUB(name) \\\n"
        '    __attribute__((weak, visibility("default"))) int name(void) \\\n'
        "    { return fakeStub(FN_##name); }\n"
        f"{stubs}"
    )
