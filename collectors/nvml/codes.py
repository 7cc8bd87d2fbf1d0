"""NVML's return codes and what each means for a value that was asked for."""

from collections.abc import Collection

from collectors.device import Missing

SUCCESS, UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION = 0, 1, 2, 3, 4
NOT_FOUND, INSUFFICIENT_SIZE, DRIVER_NOT_LOADED, TIMEOUT = 6, 7, 9, 10
LIBRARY_NOT_FOUND, FUNCTION_NOT_FOUND, GPU_IS_LOST, RESET_REQUIRED = 12, 13, 15, 16
VERSION_MISMATCH, BAD_VERSION, DEPRECATED, GPU_NOT_FOUND, UNKNOWN = 18, 25, 26, 28, 999

NO_SUCH_CALL = frozenset({NOT_SUPPORTED, FUNCTION_NOT_FOUND, BAD_VERSION, DEPRECATED})
_TELLING = (UNINITIALIZED, GPU_IS_LOST, RESET_REQUIRED)  # what they say holds beyond the one call


def missing_for(code: int) -> Missing:
    """Return why a whole call gave nothing, by NVML's return code."""
    if code in NO_SUCH_CALL:
        return Missing.UNSUPPORTED
    return Missing.FORBIDDEN if code == NO_PERMISSION else Missing.FAILED


def missing_field_for(code: int) -> Missing:
    """Return why a field is absent; a scope that this GPU does not know means unsupported."""
    return Missing.UNSUPPORTED if code == INVALID_ARGUMENT else missing_for(code)


def telling(codes: Collection[int]) -> int:
    """Return the one of several codes that says most about the GPU as a whole."""
    failed = (code for code in codes if code != SUCCESS and missing_field_for(code) is Missing.FAILED)
    return next((code for code in _TELLING if code in codes), min(failed, default=UNKNOWN))


_WORDS = {
    UNINITIALIZED: "not initialised",
    INVALID_ARGUMENT: "invalid argument",
    NOT_SUPPORTED: "not supported",
    NO_PERMISSION: "no permission",
    NOT_FOUND: "not found",
    INSUFFICIENT_SIZE: "memory too small",
    8: "power cables are not attached",
    DRIVER_NOT_LOADED: "no driver is loaded",
    TIMEOUT: "the call took too long",
    11: "interrupts do not arrive",
    LIBRARY_NOT_FOUND: "the driver's library is missing",
    FUNCTION_NOT_FOUND: "this driver lacks the function",
    14: "the infoROM is corrupted",
    GPU_IS_LOST: "the GPU is lost",
    RESET_REQUIRED: "the GPU needs a reset",
    17: "the operating system refused",
    VERSION_MISMATCH: "library and kernel module differ",
    20: "out of memory",
    21: "no data yet",
    BAD_VERSION: "this driver does not know the struct",
    GPU_NOT_FOUND: "no GPU was found",
    UNKNOWN: "unknown error",
}


def words(code: int) -> str:
    """Return what a code says, for people, with its number."""
    return f"{_WORDS.get(code, 'error')} (code {code})"
