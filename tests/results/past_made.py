"""Runs as the history keeps them, made for tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from chaos.results.past import PastFinding, PastReplay, PastRun

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
OUTAGE = "longest_outage_ms"


def judged(
    verdict: str = "held",
    invariant: str = "outage-at-most-2s",
    promise: str = "outage_at_most",
    **figures: Any,
) -> PastFinding:
    """What became of an invariant."""
    return PastFinding(invariant, promise, verdict, "", figures)


def replayed(*findings: PastFinding, verdict: str = "", **fields: Any) -> PastReplay:
    """A replay of those findings, hardened and with the verdict of the first, unless told otherwise."""
    is_ = verdict or (findings[0].verdict if findings else "unknown")
    made = PastReplay(
        incident="mass-termination",
        replay="",
        cluster="kind",
        control="",
        kubernetes="1.34.4",
        image="node:v1",
        mutants="",
        profile="smoke",
        verdict=is_,
        passed=is_ == "held",
        why="as it was found",
        started="2026-01-01T00:00:01.000Z",
        duration_s=60.0,
        findings=findings,
    )
    return msgspec.structs.replace(made, **fields)


def past(number: int, *replays: PastReplay, **fields: Any) -> PastRun:
    """The run of that number: one an hour, each of them an hour long."""
    began = BEGAN + timedelta(hours=number)
    made = PastRun(
        id=f"run-{number:04}",
        tool="0.1.0",
        started=_written(began),
        ended=_written(began + timedelta(hours=1)),
        duration_s=3600.0,
        cpus="2",
        memory="8.0 GiB",
        kernel="6.1",
        architecture="x86_64",
        left_out=0,
        specs_broken=0,
        replays=replays,
    )
    return msgspec.structs.replace(made, **fields)


def measured(number: int, value: float, verdict: str = "held", **fields: Any) -> PastRun:
    """A run of one replay with one figure."""
    return past(number, replayed(judged(verdict, longest_outage_ms=value), **fields))


def _written(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
