"""What became of figures and verdicts over many runs: by replay, and by what may not be mixed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median

from chaos.judge.base import Verdict
from chaos.results.figures import Unit, unit_of, worst
from chaos.results.key import Key
from chaos.results.past import PastReplay, PastRun

FROM_RUNS = 5  # fewer are no trend
HELD, UNKNOWN = str(Verdict.HELD), str(Verdict.UNKNOWN)


@dataclass(frozen=True, slots=True, order=True)
class Circumstances:
    """What values were taken under: those of others are never mixed with them. `image` is the nodes', "" where they
    have none; `cpus` are the machine's. Which bugs are put back, the replay itself says.
    """

    kubernetes: str
    image: str
    profile: str
    cpus: str

    def __str__(self) -> str:
        said = (f"Kubernetes {self.kubernetes or 'unknown'}", self.image, f"profile {self.profile}")
        return ", ".join(filter(None, (*said, f"{self.cpus or 'unknown'} cpus")))


@dataclass(frozen=True, slots=True, order=True)
class FigureKey:
    """Which figure of which invariant, by its common name: of several nodes or subjects the worst."""

    of: Key
    invariant: str
    figure: str

    @property
    def unit(self) -> Unit | None:
        """None of a count."""
        return unit_of(self.figure)


@dataclass(frozen=True, slots=True)
class Taken:
    """What one replay has of a figure: its value, or None, and the invariant's verdict. `started`: the run, UTC;
    `memory` is the machine's; `held`: the whole replay did.
    """

    run: str
    started: str
    memory: str
    verdict: str
    held: bool
    value: float | None


@dataclass(frozen=True, slots=True)
class Trend:
    """A figure under the same conditions: `taken` has an entry for each replay of them, the oldest first."""

    key: FigureKey
    conditions: Circumstances
    taken: tuple[Taken, ...]

    @property
    def values(self) -> tuple[float, ...]:
        """Those that are known, the oldest first."""
        return tuple(each.value for each in self.taken if each.value is not None)

    @property
    def unknown(self) -> int:
        """In how many replays the invariant came out unknown, or was not judged since the replay did."""
        return sum(each.verdict == UNKNOWN for each in self.taken)

    @property
    def memory(self) -> tuple[str, ...]:
        """Of the machines that they were taken on."""
        return tuple(sorted({each.memory for each in self.taken}))


@dataclass(frozen=True, slots=True)
class Verdicts:
    """How often a replay came out how, under the same conditions."""

    key: Key
    conditions: Circumstances
    times: Mapping[str, int]
    passed: int

    @property
    def replays(self) -> int:
        """How many there were."""
        return sum(self.times.values())

    @property
    def unknown_part(self) -> float:
        """Of all."""
        return self.times.get(UNKNOWN, 0) / self.replays


def percentile(values: Sequence[float], percent: int) -> float:
    """By nearest rank: the smallest value that at least so many of a hundred are no larger than. ValueError of none.

    So P99 of fewer than 100 values is the greatest of them, and P95 of fewer than 20.
    """
    if not values:
        raise ValueError("there is no value")
    return sorted(values)[max(1, ceil(percent * len(values) / 100)) - 1]


def middle(values: Sequence[float]) -> float:
    """The median; of an even number of values half-way between the two in the middle."""
    return float(median(values))


def is_greatest(count: int, percent: int) -> bool:
    """Whether that percentile of so many values is nothing but the greatest one."""
    return ceil(percent * count / 100) >= count


def trends(runs: Iterable[PastRun]) -> tuple[Trend, ...]:
    """Of every figure that is a number, by conditions."""
    found: dict[tuple[FigureKey, Circumstances], list[Taken]] = {}
    replays: dict[tuple[Key, Circumstances], list[_Judged]] = {}
    for run, each, conditions in replayed(runs):
        figures = {f.invariant: (f.verdict, worst(f.figures)) for f in each.findings}
        replays.setdefault((key_of(each), conditions), []).append(_Judged(run, each, figures))
    for (key, conditions), group in replays.items():
        names = {(i, name) for each in group for i, (_, figures) in each.figures.items() for name in figures}
        for invariant, name in names:
            found[FigureKey(key, invariant, name), conditions] = [_taken(each, invariant, name) for each in group]
    return tuple(Trend(key, at, _by_time(found[key, at])) for key, at in sorted(found))


@dataclass(frozen=True, slots=True)
class _Judged:
    """A replay with the verdict and the figures of each invariant."""

    run: PastRun
    replay: PastReplay
    figures: Mapping[str, tuple[str, Mapping[str, float]]]


def _taken(each: _Judged, invariant: str, name: str) -> Taken:
    run, replay = each.run, each.replay
    verdict, there = each.figures.get(invariant, (replay.verdict, {}))
    value = None if verdict == UNKNOWN else there.get(name)
    return Taken(run.id, run.started, run.memory, verdict, replay.verdict == HELD, value)


def verdicts(runs: Iterable[PastRun]) -> tuple[Verdicts, ...]:
    """Of every replay, by conditions."""
    times: dict[tuple[Key, Circumstances], Counter[str]] = {}
    passed: Counter[tuple[Key, Circumstances]] = Counter()
    for _, each, conditions in replayed(runs):
        at = key_of(each), conditions
        times.setdefault(at, Counter())[each.verdict] += 1
        passed[at] += each.passed
    return tuple(Verdicts(*at, times[at], passed[at]) for at in sorted(times))


def key_of(replay: PastReplay) -> Key:
    """Which replay it is."""
    return Key(replay.incident, replay.replay, replay.cluster, replay.control)


def replayed(runs: Iterable[PastRun]) -> Iterator[tuple[PastRun, PastReplay, Circumstances]]:
    """Each replay of each run with its conditions. One that had no cluster, or no end, was to have that of the others
    of its run on the same kind of cluster.
    """
    for run in runs:
        versions = {each.cluster: each.kubernetes for each in reversed(run.replays) if each.kubernetes}
        images = {each.cluster: each.image for each in reversed(run.replays) if each.image}
        for each in run.replays:
            kubernetes = each.kubernetes or versions.get(each.cluster, "")
            image = each.image or images.get(each.cluster, "")
            yield run, each, Circumstances(kubernetes, image, each.profile, run.cpus)


def _by_time(taken: Sequence[Taken]) -> tuple[Taken, ...]:
    return tuple(sorted(taken, key=lambda each: (each.started, each.run, each.value is None, each.value or 0.0)))
