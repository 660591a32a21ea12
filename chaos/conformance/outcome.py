"""What became of one spec."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Passed, failed, skipped by upstream itself, or unknown: the cluster was not tested, which is not a pass."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why a spec did not pass."""

    FAILED = "failed"  # upstream's check failed
    NO_IMAGE = "no-image"  # a container's image could not be had
    CRASHED = "crashed"  # e2e.test ended while the spec was in flight
    HUNG = "hung"  # it did not end in its time
    API_AWAY = "api-away"  # the API server did not answer while it ran
    NO_STORAGE_CLASS = "no-storage-class"  # the cluster has no default StorageClass
    TOO_FEW_NODES = "too-few-nodes"
    NOT_STARTED = "not-started"  # e2e.test could not start, or the run was ended before
    SKIPPED = "skipped"  # upstream skips it on such a cluster


@dataclass(frozen=True, slots=True)
class SpecOutcome:
    """What became of a spec.

    `message` is one text for a reader, upstream's own first; empty where it passed. `took_s` is upstream's run time.
    `attempts` counts how often it was run; `output` is what it wrote, with upstream's steps.
    """

    spec_id: str
    text: str
    area: str
    state: State
    reason: Reason | None = None
    message: str = ""
    took_s: float = 0.0
    attempts: int = 1
    output: str = ""

    @property
    def flaky(self) -> bool:
        """Passed, but not at once. This is not called passed."""
        return self.state is State.PASSED and self.attempts > 1

    @property
    def passed(self) -> bool:
        """Passed at the first attempt."""
        return self.state is State.PASSED and self.attempts == 1

    @property
    def shown(self) -> str:
        """The word for a reader: the state, or "flaky"."""
        return "flaky" if self.flaky else str(self.state)
