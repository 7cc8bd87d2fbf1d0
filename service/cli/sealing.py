"""How seals are made and judged, from the options of the command line."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.core.ports import Clock, Ledger
    from service.sealing import Sealer


def sealer(ledger: "Ledger", clock: "Clock", directory: Path | None, key: Path | None) -> "Sealer":
    """Return the sealer of a ledger, with a key's signature and a directory for export where they are given.

    Raises:
        ConfigurationError: If the key is unusable.
    """
    from service.ledger.seal_files import export
    from service.ledger.signing import Signer
    from service.sealing import Sealer, kept_here, unsigned

    sign = unsigned if key is None else Signer.load(key).signed
    return Sealer(ledger, clock, sign, kept_here if directory is None else lambda seal: export(seal, directory))
