"""Comparing runs: is the candidate as good as the base, verdict by verdict and figure by figure?"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from scipy.stats import fisher_exact

from chaos.errors import OrdealError
from chaos.judge.base import CRASHED, OWN, Verdict
from chaos.report.allowed import Allowed, AllowList
from chaos.report.difference import ALPHA, LEAST, RELEVANT, Difference, Measured, Shift, Values, differences
from chaos.results import saved
from chaos.results.figures import Unit, is_setting, unit_of, worst
from chaos.results.key import Key
from chaos.results.saved import SavedFinding, SavedOutcome, SavedRun

MISSING, PROVEN, UNPROVEN = "missing", "proven", "unproven"
HELD, VIOLATED, UNKNOWN = (str(v) for v in (Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN))


# A figure is compared where its name ends in a unit, or in one and the name of a node or another subject: nodes are
# called otherwise in each run, so the worst of all subjects is compared. Counts are judged by the verdicts.
# Times that are neither good nor bad: settings, and when in the history something was.
NOT_COMPARED = frozenset(
    {"after_s", "all_away_s", "filled_percent", "first_s", "gap_s", "in_state_s", "judged_s", "limit_ms", "limit_s"}
)


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """A replay's verdicts, or those of one of its invariants, by how many repeats had it."""

    key: Key
    invariant: str
    base: Mapping[str, int]
    candidate: Mapping[str, int]
    status: Shift
    why: str = ""
    allowed: Allowed | None = None


@dataclass(frozen=True, slots=True)
class FigureRow:
    """A figure of a hardened replay, one value a repeat."""

    key: Key
    invariant: str
    figure: str
    unit: Unit
    base: Values
    candidate: Values
    difference: Difference
    allowed: Allowed | None = None

    @property
    def status(self) -> Shift:
        """What became of the figure."""
        return self.difference.status


@dataclass(frozen=True, slots=True)
class Side:
    """The runs of one side: repeats of the same."""

    runs: tuple[SavedRun, ...]

    @property
    def versions(self) -> tuple[str, ...]:
        """The Kubernetes versions of its clusters."""
        return tuple(sorted({o.kubernetes for r in self.runs for o in r.outcomes if o.kubernetes}))

    def __str__(self) -> str:
        runs = f"{len(self.runs)} runs" if len(self.runs) > 1 else f"run {self.runs[0].id}"
        return f"Kubernetes {' and '.join(self.versions) or 'unknown'} ({runs})"


@dataclass(frozen=True, slots=True)
class EqualVersions:
    """How often such a comparison called `runs` runs of one version a regression, in so many deals of them by lot.

    `version`: what they were taken under. `why` it was not measured; then nothing else is said.
    """

    deals: int = 0
    wrong: int = 0
    runs: int = 0
    version: str = ""
    seed: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came out. `notes` are sentences that a reader needs beside the rows."""

    base: Side
    candidate: Side
    verdicts: tuple[VerdictRow, ...]
    figures: tuple[FigureRow, ...]
    alpha: float
    relevant: float
    notes: tuple[str, ...] = ()
    equal_versions: EqualVersions = EqualVersions(why="no history of runs was named")
    expired: tuple[Allowed, ...] = ()
    unmatched: tuple[Allowed, ...] = ()

    @property
    def answer(self) -> Shift:
        """Regressed if anything is, else can't tell if anything can't be told, else better or the same."""
        rows: list[VerdictRow | FigureRow] = [*self.verdicts, *self.figures]
        there = {row.status for row in rows if row.allowed is None}
        for status in (Shift.REGRESSED, Shift.CANT_TELL, Shift.BETTER):
            if status in there:
                return status
        return Shift.SAME

    @property
    def exit_code(self) -> int:
        """0: better or equal, 1: regressed, 2: can't tell."""
        return {Shift.REGRESSED: 1, Shift.CANT_TELL: 2}.get(self.answer, 0)


def load_side(root: Path, given: str) -> Side:
    """Runs named by ids below `root` or by paths, several joined by commas; a folder of runs means all of them.

    Raises OrdealError where one can't be read, has no outcome, or is named twice.
    """
    names = [name.strip() for name in given.split(",") if name.strip()]
    runs = tuple(saved.load(root, each) for name in names for each in saved.named(name))
    if not runs:
        raise OrdealError(f"{given!r} names no run: give an id below {root}, a path, or several joined by commas")
    empty = [str(r.path) for r in runs if not r.outcomes]
    if empty:
        raise OrdealError(f"there is no outcome in {', '.join(empty)}: nothing was replayed")
    twice = [name for name, times in Counter(r.path.resolve() for r in runs).items() if times > 1]
    if twice:
        raise OrdealError(f"{twice[0]} is given twice: a run is no repeat of itself")
    return Side(runs)


def compare(
    base: Side,
    candidate: Side,
    allow: AllowList | None = None,
    *,
    alpha: float = ALPHA,
    relevant: float = RELEVANT,
    search: bool = True,
) -> Comparison:
    """Compare. Raises OrdealError where the two can't be compared: profiles differ, or limits of the user's own.

    `search`: also for the smallest change of each figure that would have been seen, which takes a while.
    """
    profiles = {o.profile for side in (base, candidate) for r in side.runs for o in r.outcomes}
    if len(profiles) > 1:
        raise OrdealError(f"runs of the profiles {' and '.join(sorted(profiles))} can't be compared: use one profile")
    before, after = _by_key(base), _by_key(candidate)
    _refuse_other_limits(before, after)
    keys = sorted(before.keys() | after.keys())
    bugs = known_bugs(base, candidate)
    verdicts = [
        row
        for key in keys
        for row in _verdict_rows(key, before.get(key, {}), after.get(key, {}), alpha, proves=key not in bugs)
    ]
    figures = _figure_rows(before, after, alpha, relevant, search=search)
    allow = allow or AllowList()
    used: set[Allowed] = set()
    return Comparison(
        base,
        candidate,
        tuple(replace(row, allowed=_allowed(row, allow, used)) for row in verdicts),
        tuple(replace(row, allowed=_allowed(row, allow, used)) for row in figures),
        alpha,
        relevant,
        tuple(_notes(base, candidate)),
        expired=allow.expired,
        unmatched=tuple(e for e in allow.entries if e not in used),
    )


def _refuse_other_limits(before: Mapping[Key, "Repeats"], after: Mapping[Key, "Repeats"]) -> None:
    """What was judged by another limit is another promise. Raises OrdealError."""
    first: dict[tuple[Key, str], Mapping[str, object]] = {}
    judged = ((key, repeats) for side in (before, after) for key, repeats in side.items())
    for key, repeats in judged:
        for finding in (each for outcome in repeats.values() for each in outcome.findings):
            limits = {name: value for name, value in finding.figures.items() if is_setting(name)}
            known = first.setdefault((key, finding.invariant), limits)
            if known != limits and finding.reason != CRASHED:
                raise OrdealError(
                    f"runs by different limits can't be compared: {finding.invariant} of {key} has {_limits(known)} in "
                    f"one and {_limits(limits)} in another; give each the same --ordeal-limits"
                )


def _limits(figures: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in figures.items() if name.startswith(OWN)) or "the shipped one"


Repeat = tuple[int, int]  # which run, and the how manieth time in it
Repeats = dict[Repeat, SavedOutcome]


def _by_key(side: Side) -> dict[Key, Repeats]:
    found: dict[Key, Repeats] = {}
    for number, run in enumerate(side.runs):
        times: Counter[Key] = Counter()
        for outcome in run.outcomes:
            key = Key(outcome.id, outcome.replay, outcome.cluster, outcome.control)
            found.setdefault(key, {})[number, times[key]] = outcome
            times[key] += 1
    return found


# --- verdicts


def known_bugs(*sides: Side) -> set[Key]:
    """The controls that are a published bug: where it is in the one version and not in the other, that is a change."""
    bugs = {(i.id, c.id) for side in sides for run in side.runs for i in run.catalogue for c in i.controls if c.shipped}
    return {key for side in sides for key in _by_key(side) if (key.incident, key.control) in bugs}


def _verdict_rows(key: Key, before: Repeats, after: Repeats, alpha: float, *, proves: bool) -> list[VerdictRow]:
    """`proves`: whether a control is there to show that its check can fail, in every version."""
    base, candidate = list(before.values()), list(after.values())
    if key.control and proves:
        return [_control_row(key, base, candidate)]
    rows = [_row(key, "", [o.verdict for o in base], [o.verdict for o in candidate], alpha, _whys(candidate))]
    names = dict.fromkeys(f.invariant for o in (*base, *candidate) for f in o.findings)
    for name in names:
        was, now = _findings(base, name), _findings(candidate, name)
        if not candidate or not base or (not now and rows[0].status is Shift.CANT_TELL):
            continue  # the replay's own row says it
        row = _row(key, name, [f.verdict for f in was], [f.verdict for f in now], alpha, [f.sentence for f in now])
        if row.status is not Shift.SAME:
            rows.append(row)
    return rows


def _row(
    key: Key, invariant: str, base: Sequence[str], candidate: Sequence[str], alpha: float, sentences: Sequence[str]
) -> VerdictRow:
    status, why = _judge(base, candidate, alpha)
    worst = next((s for v, s in zip(candidate, sentences, strict=True) if v == _worst(candidate)), "")
    if status in {Shift.REGRESSED, Shift.CANT_TELL} and worst and _worst(candidate) != HELD:
        why = f"{why}: {worst}"
    return VerdictRow(key, invariant, _count(base), _count(candidate), status, why)


def _judge(base: Sequence[str], candidate: Sequence[str], alpha: float) -> tuple[Shift, str]:
    if not candidate:
        return Shift.CANT_TELL, "the candidate has not replayed or judged it"
    if not base:
        known = all(v == HELD for v in candidate)
        return (Shift.SAME, "new") if known else (Shift.CANT_TELL, "the base has not replayed or judged it")
    was, now = base.count(VIOLATED), candidate.count(VIOLATED)
    if now * len(base) > was * len(candidate):
        return _judge_violated(base, candidate, alpha)
    if UNKNOWN in candidate:
        return Shift.CANT_TELL, "unknown in the candidate"
    if not now and (was or UNKNOWN in base):
        return Shift.BETTER, "held in the candidate, not always in the base"
    return Shift.SAME, "violated in both" if now else ""


def _judge_violated(base: Sequence[str], candidate: Sequence[str], alpha: float) -> tuple[Shift, str]:
    """The candidate is violated more often: never before is a regression, before too is one for Fisher to tell."""
    was, now = base.count(VIOLATED), candidate.count(VIOLATED)
    if not was:
        if HELD in base:
            return Shift.REGRESSED, "held in the base, violated in the candidate"
        return Shift.CANT_TELL, "unknown in the base, violated in the candidate"
    p = _fisher(was, len(base), now, len(candidate))
    often = f"violated in {was} of {len(base)} repeats of the base, {now} of {len(candidate)} of the candidate"
    return (Shift.REGRESSED if p <= alpha else Shift.CANT_TELL), f"{often} (Fisher's exact test: p = {p:.3f})"


def _control_row(key: Key, base: Sequence[SavedOutcome], candidate: Sequence[SavedOutcome]) -> VerdictRow:
    """A control proves that its check can fail. Where it no longer does, what the check says is worth nothing."""
    was, now = [PROVEN if o.passed else UNPROVEN for o in base], [PROVEN if o.passed else UNPROVEN for o in candidate]
    if PROVEN in now or (not now and PROVEN not in was):
        status, why = Shift.SAME, ""
    elif not now:
        status, why = Shift.CANT_TELL, "the candidate has not replayed it: its check is not proven able to fail"
    else:
        status, why = Shift.CANT_TELL, f"the check is not proven able to fail in the candidate: {candidate[0].why}"
    return VerdictRow(key, "", _count(was), _count(now), status, why)


def _worst(verdicts: Sequence[str]) -> str:
    if not verdicts:
        return MISSING
    return next(v for v in (VIOLATED, UNKNOWN, UNPROVEN, *verdicts) if v in verdicts)


def _whys(outcomes: Sequence[SavedOutcome]) -> list[str]:
    return [o.why for o in outcomes]


def _count(verdicts: Sequence[str]) -> dict[str, int]:
    return dict(Counter(verdicts))


def _fisher(was: int, before: int, now: int, after: int) -> float:
    return float(fisher_exact([[now, after - now], [was, before - was]], alternative="greater").pvalue)


def _findings(outcomes: Sequence[SavedOutcome], name: str) -> list[SavedFinding]:
    return [f for o in outcomes for f in o.findings if f.invariant == name]


# --- figures


@dataclass(slots=True)
class _Figure:
    unit: Unit
    base: dict[Repeat, float] = field(default_factory=dict)
    candidate: dict[Repeat, float] = field(default_factory=dict)


def _figure_rows(
    before: Mapping[Key, Repeats], after: Mapping[Key, Repeats], alpha: float, relevant: float, *, search: bool
) -> list[FigureRow]:
    found: dict[tuple[Key, str, str], _Figure] = {}
    for key in sorted(k for k in before.keys() & after.keys() if not k.control):
        for repeats, on in ((before[key], "base"), (after[key], "candidate")):
            for repeat, outcome in repeats.items():
                for finding in outcome.findings:
                    for name, (unit, value) in compared(finding).items():
                        figure = found.setdefault((key, finding.invariant, name), _Figure(unit))
                        (figure.base if on == "base" else figure.candidate)[repeat] = value
    base_repeats = sorted({r for repeats in before.values() for r in repeats})
    candidate_repeats = sorted({r for repeats in after.values() for r in repeats})
    measured = [
        Measured(
            [f.base.get(r) for r in base_repeats],
            [f.candidate.get(r) for r in candidate_repeats],
            f.unit.least,
            f.unit.more_is_better,
        )
        for f in found.values()
    ]
    told = differences(measured, alpha=alpha, relevant=relevant, search=search)
    return [
        FigureRow(key, invariant, name, f.unit, m.base, m.candidate, d)
        for ((key, invariant, name), f), m, d in zip(found.items(), measured, told, strict=True)
    ]


def compared(finding: SavedFinding) -> dict[str, tuple[Unit, float]]:
    """The figures of a finding that are compared, each with its unit; of several subjects the worst."""
    if finding.verdict == UNKNOWN:
        return {}
    return {
        name: (unit, value)
        for name, value in worst(finding.figures).items()
        if (unit := unit_of(name)) is not None and name not in NOT_COMPARED
    }


# --- the allow list, and what else a reader needs


def _allowed(row: VerdictRow | FigureRow, allow: AllowList, used: set[Allowed]) -> Allowed | None:
    if row.status not in {Shift.REGRESSED, Shift.CANT_TELL}:
        return None
    for entry in allow.entries:
        if _matches(entry, row):
            used.add(entry)
            return entry
    return None


def _matches(entry: Allowed, row: VerdictRow | FigureRow) -> bool:
    key = row.key
    given = [
        (entry.incident, key.incident),
        (entry.replay, key.replay),
        (entry.cluster, key.cluster),
        (entry.control, key.control),
        (entry.invariant, row.invariant),
    ]
    if any(wanted and wanted != there for wanted, there in given):
        return False
    if isinstance(row, FigureRow):
        return entry.figure == row.figure
    return entry.verdict == _worst(list(row.candidate))


def _notes(base: Side, candidate: Side) -> Iterable[str]:
    machines = [sorted({tuple(sorted(r.machine.items())) for r in side.runs}) for side in (base, candidate)]
    first = dict(machines[0][0])
    differ = sorted({n for ms in machines for m in ms for n, v in m if first.get(n) != v})
    if differ:
        yield f"The runs are of different machines ({', '.join(differ)}): their figures may differ for that alone."
    fewest = min(len(base.runs), len(candidate.runs))
    if fewest < LEAST:
        yield "There are no repeats: a figure that looks worse can't be told from noise."
    if not any(o.control for r in candidate.runs for o in r.outcomes):
        yield "The candidate ran no control: nothing here proves that its checks can fail."
