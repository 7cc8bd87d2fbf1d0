"""Every error threenines raises on purpose, as one tree.

ThreeninesError
├── ConfigurationError      a file or option is wrong: the operator mends it
├── DeviceError             the driver or a GPU did not answer: retry, then tell
│   ├── DriverUnavailable   no driver, no library, or a version clash on this host
│   └── DeviceGone          the driver was reloaded: open again
├── BusError                a message could not be handed over: keep it, try again
│   ├── BusUnavailable      nobody answers at the other end
│   ├── BusFull             a bounded queue is full: slow down
│   └── BusRefused          the other end will never take this: a credential or a bug
├── StorageError            a disk did what disks do
│   ├── LedgerError         the ledger could not be read or written
│   └── SpoolError          the spool could not be read or written
├── FactRefused             what a person said contradicts the record, or the rules
└── WireError               bytes that are not a message of ours
"""


class ThreeninesError(Exception):
    """Root of all errors raised on purpose; its text says what, where and how to mend it."""


class ConfigurationError(ThreeninesError):
    """Raised when a file or an option is wrong."""


class DeviceError(ThreeninesError):
    """Raised when the driver or a GPU did not answer as a whole."""


class DriverUnavailable(DeviceError):
    """Raised when no usable driver exists on this host at present."""

    def __init__(self, cause: str, text: str) -> None:
        """Keep the cause word of `service.core.health` beside the text."""
        super().__init__(text)
        self.cause = cause


class DeviceGone(DeviceError):
    """Raised when the driver was reloaded under us, or its collector died: every handle is void, open again."""

    def __init__(self, text: str, cause: str = "driver:reloaded") -> None:
        """Keep the cause word of `service.core.health` beside the text."""
        super().__init__(text)
        self.cause = cause


class BusError(ThreeninesError):
    """Raised when a batch could not be handed over."""


class BusUnavailable(BusError):
    """Raised when nobody answers at the other end; trying again is right."""


class BusFull(BusError):
    """Raised when the bounded queue at the other end is full; trying later is right."""


class BusRefused(BusError):
    """Raised when the other end will never take this batch; trying again is wrong."""


class FactRefused(ThreeninesError):
    """Raised when what a person said cannot be recorded; the text says why and what would be right."""


class StorageError(ThreeninesError):
    """Raised when a disk is full, read-only or damaged."""


class LedgerError(StorageError):
    """Raised when the ledger could not be read or written; nothing was half done."""


class SpoolError(StorageError):
    """Raised when the spool could not be read or written."""


class WireError(ThreeninesError):
    """Raised when bytes are not a message of ours; carries a reason word for counting."""

    def __init__(self, reason: str, text: str) -> None:
        """Keep the reason word (a bounded set, fit for a metric label) beside the text."""
        super().__init__(text)
        self.reason = reason
