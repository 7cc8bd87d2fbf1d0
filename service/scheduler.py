"""Periodic jobs: the only door to APScheduler. A job that raises is logged and runs again."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.schedulers.background import BackgroundScheduler

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do every so many seconds; a run that is late is done once, not made up for."""

    name: str
    every_seconds: float
    run: Callable[[], None]


class Scheduler:
    """Runs a table of jobs in the background."""

    def __init__(self, jobs: tuple[Job, ...]) -> None:
        """Take the table; nothing runs before `start`."""
        self._scheduler = BackgroundScheduler(timezone="UTC")
        self._scheduler.add_listener(_log_error, EVENT_JOB_ERROR)
        for job in jobs:
            self._scheduler.add_job(
                job.run, "interval", seconds=job.every_seconds, id=job.name, coalesce=True, max_instances=1
            )

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()

    def stop(self) -> None:
        """End, waiting for what runs."""
        self._scheduler.shutdown(wait=True)


def _log_error(event: JobExecutionEvent) -> None:
    log.error("job_failed", job=event.job_id, error=str(event.exception))
