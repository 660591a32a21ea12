"""Conformance specs in the results: what became of each, in which replay and round, and what it left to read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.judge.conformance import FAILED, FLAKY, LATE, LOST, NO_IMAGE, PASSED, SKIPPED, STATES

ALONE = ""  # the round of a spec that was run for itself, around no incident
# What a reader is told of a state; passed on a retry is not passed, and neither is what could not be tried.
SAID = {
    PASSED: "passed",
    FLAKY: "flaky: passed, but not at once",
    FAILED: "failed",
    LATE: "not over in its time",
    NO_IMAGE: "not tried: an image could not be had",
    SKIPPED: "skipped by upstream",
    LOST: "no result",
}
assert set(SAID) == set(STATES)
BROKEN = (FAILED, LATE, FLAKY)


@dataclass(frozen=True, slots=True)
class SpecResult:
    """A spec that was run: by which test, in which round ("before", "during", "after", or ALONE), what became of it.

    `message` is upstream's own, `output` the path of what the spec wrote, `pods` those of its pods' logs; paths are
    below the run's folder.
    """

    test: str
    round: str
    id: str
    spec: str
    area: str
    state: str
    took_s: float
    kubernetes: str = ""
    message: str = ""
    tries: int = 1
    output: str = ""
    pods: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """At the first try."""
        return self.state == PASSED

    @property
    def said(self) -> str:
        """What a reader is told of the state."""
        return f"passed on try {self.tries}, which is not passed" if self.state == FLAKY else SAID[self.state]

    @property
    def files(self) -> tuple[str, ...]:
        """All that it left to read."""
        return (*((self.output,) if self.output else ()), *self.pods)


def as_json(s: SpecResult) -> dict[str, object]:
    """As it stands in results.json: what is empty is left out."""
    return {
        "test": s.test,
        **({"round": s.round} if s.round else {}),
        "id": s.id,
        "spec": s.spec,
        "area": s.area,
        "state": s.state,
        "took_s": round(s.took_s, 3),
        "kubernetes": s.kubernetes,
        **({"message": s.message} if s.message else {}),
        **({"tries": s.tries} if s.tries != 1 else {}),
        **({"output": s.output} if s.output else {}),
        **({"pods": list(s.pods)} if s.pods else {}),
    }


def of_json(entry: Mapping[str, Any]) -> SpecResult:
    """One of the file, that fits the schema."""
    return SpecResult(**{**entry, "round": entry.get("round", ALONE), "pods": tuple(entry.get("pods", ()))})


def tally(specs: Sequence[SpecResult]) -> str:
    """How many became what, the passed first: "4 passed, 1 failed"."""
    counts = {state: sum(s.state == state for s in specs) for state in STATES}
    return ", ".join(f"{count} {SAID[state].partition(':')[0]}" for state, count in counts.items() if count)
