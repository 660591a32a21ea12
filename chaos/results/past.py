"""What is kept of a run for good: its figures and verdicts, and what tells versions and machines apart."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from chaos.errors import OrdealError
from chaos.judge.base import Figure
from chaos.results.saved import SavedFinding, SavedOutcome, SavedRun
from chaos.results.specs import BROKEN

QUIET_S = 24 * 3600.0  # a run without an end that wrote nothing for so long was killed: the longest replay takes hours
LARGEST = 2**63 - 1  # a whole number in SQLite; a larger one is kept as its nearest float


class PastFinding(msgspec.Struct, frozen=True):
    """What became of one invariant. `promise` made it ("" where results do not say)."""

    invariant: str
    promise: str
    verdict: str
    reason: str
    figures: Mapping[str, float | int | str]


class PastReplay(msgspec.Struct, frozen=True):
    """One replay. `control` is "" when hardened; `image` is the nodes', where they have one; `mutants` are the bugs
    that were put back, joined by commas; `kubernetes` is "" where the replay has no end.
    """

    incident: str
    replay: str
    cluster: str
    control: str
    kubernetes: str
    image: str
    mutants: str
    profile: str
    verdict: str
    passed: bool
    why: str
    started: str
    duration_s: float
    findings: tuple[PastFinding, ...]


class PastRun(msgspec.Struct, frozen=True):
    """A run. `ended` is "" where it was killed, and its duration is then until it last wrote.

    `started`: UTC, as 2026-01-02T03:04:05.678Z. `specs_broken`: conformance specs of its own that did not pass.
    """

    id: str
    tool: str
    started: str
    ended: str
    duration_s: float
    cpus: str
    memory: str
    kernel: str
    architecture: str
    left_out: int
    specs_broken: int
    replays: tuple[PastReplay, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of all that is kept: of two runs with one id it says whether they are the same."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    @property
    def green(self) -> bool:
        """Whether it came to its end, replayed something or ran specs, and all of it passed."""
        return bool(self.ended and self.replays) and not self.specs_broken and all(r.passed for r in self.replays)

    @property
    def versions(self) -> tuple[str, ...]:
        """The Kubernetes versions of its clusters."""
        return tuple(sorted({r.kubernetes for r in self.replays if r.kubernetes}))


def past_of(run: SavedRun, now: datetime) -> PastRun:
    """What is kept of a run. Raises OrdealError where nothing was replayed in it, where it may still go on, and where
    its times are none.
    """
    if not run.outcomes:
        raise OrdealError(f"there is no outcome in {run.path}: nothing was replayed")
    started, updated = _moment(run, run.started), _moment(run, run.updated)
    if not run.ended and (now - updated).total_seconds() < QUIET_S:
        raise OrdealError(f"the run {run.path} has no end and may still go on: add it when it is over")
    ended = _moment(run, run.ended) if run.ended else updated
    return PastRun(
        id=run.id,
        tool=run.version,
        started=started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        ended=run.ended,
        duration_s=round(max(0.0, (ended - started).total_seconds()), 3),
        cpus=run.machine.get("cpus", ""),
        memory=run.machine.get("memory", ""),
        kernel=run.machine.get("kernel", ""),
        architecture=run.machine.get("architecture", ""),
        left_out=len(run.left_out),
        specs_broken=sum(spec.state in BROKEN for spec in run.own_specs),
        replays=tuple(_replay(each) for each in run.outcomes),
    )


def moment(text: str) -> datetime:
    """A time as results and the history have it. Raises ValueError."""
    found = datetime.fromisoformat(text)
    if not 1970 <= found.year < 9999:  # what is near the ends can't be counted with
        raise ValueError(f"{text!r} is no time of a run")
    return found.astimezone(UTC) if found.tzinfo is not None else found.replace(tzinfo=UTC)


def as_saved(run: PastRun) -> tuple[SavedOutcome, ...]:
    """The replays as a comparison takes them: what was not kept is empty."""
    return tuple(
        SavedOutcome(
            id=each.incident,
            replay=each.replay,
            cluster=each.cluster,
            kubernetes=each.kubernetes,
            profile=each.profile,
            control=each.control,
            verdict=each.verdict,
            passed=each.passed,
            duration_s=each.duration_s,
            why=each.why,
            tables={},
            findings=tuple(SavedFinding(f.invariant, f.verdict, "", f.reason, f.figures) for f in each.findings),
        )
        for each in run.replays
    )


def _replay(outcome: SavedOutcome) -> PastReplay:
    rows = outcome.tables.get("mutants", ())
    return PastReplay(
        incident=outcome.id,
        replay=outcome.replay,
        cluster=outcome.cluster,
        control=outcome.control,
        kubernetes=outcome.kubernetes,
        image=(outcome.cluster_facts or {}).get("node image", ""),
        mutants=", ".join(str(row["mutant"]) for row in rows if "mutant" in row),
        profile=outcome.profile,
        verdict=outcome.verdict,
        passed=outcome.passed,
        why=outcome.why,
        started=outcome.started,
        duration_s=outcome.duration_s,
        findings=tuple(
            PastFinding(f.invariant, f.promise, f.verdict, f.reason, {n: _kept(v) for n, v in f.figures.items()})
            for f in outcome.findings
        ),
    )


def _kept(value: Figure) -> Figure:
    """As SQLite can hold it: it knows no true and false, and no whole numbers above 64 bits."""
    if isinstance(value, bool):
        return str(value).lower()
    return float(value) if isinstance(value, int) and abs(value) > LARGEST else value


def _moment(run: SavedRun, text: str) -> datetime:
    try:
        return moment(text)
    except ValueError as error:
        raise OrdealError(
            f"the results at {run.path} name the time {text!r}, which is none; were they edited?"
        ) from error
