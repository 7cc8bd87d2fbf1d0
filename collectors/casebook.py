"""What is remembered of each GPU beyond its open incidents: remedies, and the memory that it had.

Kept beside the spool with the counters, so that it outlives an agent and a boot; by UUID, so
that a GPU that was replaced begins anew. What a lie could spoil for good is believed only when
it is said twice in a row.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from collectors.catalogue import Quantity, Round
from collectors.device import Access, Reading, Survey
from service.core.escalation import History, Reason, failed, reasons, rebooted, served

Surveys = Mapping[str, Mapping[Round, Survey]]


@dataclass(slots=True)
class Casebook:
    """The cases of a tray by GPU; `largest` is the most memory, in bytes, that each ever had."""

    histories: dict[str, History] = field(default_factory=dict)
    largest: dict[str, int] = field(default_factory=dict)
    _unmapped: set[str] = field(default_factory=set)  # GPUs whose newest reading tells of a failed remap
    _lost: set[str] = field(default_factory=set)  # GPUs whose newest reading says that they are lost
    _told: dict[str, Survey] = field(default_factory=dict)  # newest survey that was looked at
    _agreed: dict[str, int] = field(default_factory=dict)  # the memory that two surveys in a row told

    def failed(self, gpu: str, at_ms: int, *, code: int | None = None, demanded: bool = False) -> None:
        """Take in that a GPU fails, or that the driver demands a reset or a reboot for it."""
        if gpu:
            self.histories[gpu] = failed(self._of(gpu), at_ms, code=code, demanded=demanded)

    def served(self, gpu: str, at_ms: int, *, is_open: bool) -> None:
        """Take in that a poll found a GPU serving and asked for nothing; an open incident may say that it fails."""
        if gpu in self.histories:
            self.histories[gpu] = served(self._of(gpu), at_ms, is_open=is_open)

    def rebooted(self, at_ms: int) -> None:
        """Take in that this is another boot than the one before."""
        self.histories = {gpu: rebooted(history, at_ms) for gpu, history in self.histories.items()}

    def polled(self, reading: Reading, at_ms: int) -> None:
        """Take in what a reading says of a GPU's failing and repair, whatever its health."""
        was_lost = reading.gpu in self._lost
        self._lost.discard(reading.gpu)
        if reading.access is Access.RESET_REQUIRED:
            self.failed(reading.gpu, at_ms, demanded=True)
        elif reading.access is Access.LOST:
            self._lost.add(reading.gpu)
            if was_lost:
                self.failed(reading.gpu, at_ms)
        flag = reading.values.get(Quantity.REMAP_FAILED)
        if flag == 1:
            self._unmapped.add(reading.gpu)
        elif flag is not None:
            self._unmapped.discard(reading.gpu)

    def surveyed(self, surveys: Surveys) -> None:
        """Look at the newest surveys; a total of memory counts when two in a row agree."""
        for gpu, rounds in list(surveys.items()):
            survey, before = rounds.get(Round.STATUS), self._told.get(gpu)
            if survey is None or survey is before:
                continue
            self._told[gpu] = survey
            total = survey.values.get(Quantity.MEMORY_TOTAL_BYTES)
            if total is not None and before is not None and before.values.get(Quantity.MEMORY_TOTAL_BYTES) == total:
                self._agreed[gpu] = int(total)
                self.largest[gpu] = max(int(total), self.largest.get(gpu, 0))
        for gpu in self._told.keys() - surveys.keys():  # the driver went: what it said is not live
            del self._told[gpu]
            self._agreed.pop(gpu, None)

    def memory_missing(self) -> dict[str, int]:
        """Return by GPU how many bytes of memory it had once and has no more."""
        return {gpu: self.largest[gpu] - now for gpu, now in self._agreed.items()}

    def reasons(self, gpu: str, now_ms: int) -> frozenset[Reason]:
        """Return why a GPU is one to replace or to review."""
        history = self._of(gpu)
        return reasons(replace(history, remap_failed=history.remap_failed or gpu in self._unmapped), now_ms)

    def candidates(self, now_ms: int) -> frozenset[tuple[str, str]]:
        """Return the GPUs that are ones to replace or to review, each with each reason."""
        gpus = self.histories.keys() | self._unmapped
        return frozenset((gpu, reason.value) for gpu in gpus for reason in self.reasons(gpu, now_ms))

    def _of(self, gpu: str) -> History:
        return self.histories.get(gpu, History())
