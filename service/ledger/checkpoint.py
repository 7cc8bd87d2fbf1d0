"""A checkpoint as a file beside the ledger: written whole or not at all, believed only when all of it fits."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from service.core.cut import cut_json, cut_of
from service.core.errors import LedgerError
from service.ledger.opening import path_of
from service.ledger.seal_files import write_whole
from service.restart import Checkpoint, Checkpoints, NoCheckpoints

_FORMAT = b"threenines checkpoint 1\n"  # another number whenever what is folded changes its shape
_DIGEST_BYTES = 32


class CheckpointFile:
    """See `service.restart.Checkpoints`."""

    def __init__(self, path: Path) -> None:
        """Take the file; it need not be there."""
        self._path = path

    def load(self) -> Checkpoint | None:
        """Return the checkpoint, None when the file is missing, torn or of another release."""
        try:
            data = self._path.read_bytes()
        except OSError:
            return None
        digest, payload = data[len(_FORMAT) : len(_FORMAT) + _DIGEST_BYTES], data[len(_FORMAT) + _DIGEST_BYTES :]
        if not data.startswith(_FORMAT) or hashlib.sha256(payload).digest() != digest:
            return None
        try:
            value: dict[str, Any] = msgspec.msgpack.decode(payload)
            return Checkpoint(cut=cut_of(value["cut"]), state=value["state"])
        except (msgspec.DecodeError, KeyError, TypeError, ValueError):
            return None

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint instead of the one before.

        Raises:
            LedgerError: It could not be written; the one before is still there.
        """
        payload = msgspec.msgpack.encode({"cut": cut_json(checkpoint.cut), "state": checkpoint.state})
        try:
            write_whole(self._path, _FORMAT + hashlib.sha256(payload).digest() + payload)
        except OSError as error:
            msg = f"{self._path}: {error.strerror}; the service works on, a restart will take longer"
            raise LedgerError(msg) from error


def checkpoints_of(url: str) -> Checkpoints:
    """Return where the checkpoints of a ledger are kept: beside its file."""
    path = path_of(url)
    return NoCheckpoints() if path is None else CheckpointFile(path.with_name(path.name + ".checkpoint"))
