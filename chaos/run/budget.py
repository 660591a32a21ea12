"""Which replays tell most in a given time: a plan made before the first one, and a look at the clock before each.

They are taken in pairs, a hardened replay and one of its controls, for a promise that held says little while nothing
shows that its check can fail. First one pair for each post-mortem, then one for each other incident, cheapest first,
then second variants. Everything here is seconds since the run began; nothing here looks at a clock.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from chaos.errors import OrdealError

END_S = 15.0  # at the end of a run the last cluster is taken down, and the page of the results is made
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?|(\d+)")
_PER_UNIT_S = (3600, 60, 1, 1)


def parse(text: str, option: str = "--ordeal-budget") -> float:
    """`15m`, `1h30m`, `900s` or `900` in seconds. Raises OrdealError for anything else, and for no time at all."""
    found = _DURATION.fullmatch(text.strip())
    total_s = sum(int(n) * unit for n, unit in zip(found.groups(), _PER_UNIT_S, strict=True) if n) if found else 0
    if not total_s:
        raise OrdealError(f"{option} {text}: that is no time; write it like 15m, 1h30m or 900s")
    return float(total_s)


def span(seconds: float) -> str:
    """A time for a reader: `45 s`, `12 min 5 s`, `1 h 4 min`."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One replay that could be chosen. `test`: its pytest node id. `function`: what its variants have in common.

    `incident` is "" for what is no replay: such are taken all or none, after everything else. `control` is "" when
    hardened. `cluster` and `shape` say which clusters are alike. `took_s`: by itself, on a cluster that is there.
    `alone`: nothing runs beside it. `builds`: what it needs built. `scope`: what side by side stays in one process.
    """

    test: str
    function: str
    incident: str
    postmortem: str = ""
    control: str = ""
    cluster: str = ""
    shape: str = ""
    took_s: float = 0.0
    alone: bool = False
    tour: bool = False
    builds: tuple[str, ...] = ()
    scope: str = ""

    @property
    def like(self) -> tuple[str, str]:
        """What its cluster is like."""
        return self.cluster, self.shape


Pair = tuple[Candidate, ...]  # what is chosen together: hardened first


@dataclass(frozen=True, slots=True)
class Costs:
    """What is paid beside the replays, in seconds. `cluster_s`: to make one, by kind and shape; 0 for what is missing.

    `build_s`: builds that are still needed. `lanes`: how many processes replay side by side, each with its clusters.
    """

    cluster_s: Mapping[tuple[str, str], float] = field(default_factory=dict)
    build_s: Mapping[str, float] = field(default_factory=dict)
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class Planned:
    """A chosen replay, with when it should begin and end. `turn`: which choice it was; a pair is one choice."""

    replay: Candidate
    starts_s: float
    ends_s: float
    turn: int


@dataclass(frozen=True, slots=True)
class Left:
    """A replay that was not chosen, and why."""

    replay: Candidate
    why: str


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """The chosen replays in the order in which they begin, when the run should be over, and what was left out."""

    budget_s: float
    chosen: tuple[Planned, ...]
    left_out: tuple[Left, ...]
    expected_end_s: float


def plan(candidates: Sequence[Candidate], costs: Costs, budget_s: float, *, now_s: float = 0.0) -> BudgetPlan:
    """The plan; `candidates` in the order in which they would run. `now_s`: what of the budget is gone already.

    Raises OrdealError where not even the shortest pair should end in time.
    """
    turns: list[Pair] = []

    def chosen() -> list[Candidate]:
        return [c for pair in turns for c in pair]

    def end_s(more: Pair = ()) -> float:
        return _end_s(_timetable(_in_order(candidates, [*chosen(), *more]), costs, now_s), now_s)

    def cheapest(pairs: Sequence[Pair]) -> Pair | None:
        found = [(end_s(each), each) for each in pairs]
        fits = [each for each in found if each[0] <= budget_s]
        return min(fits, key=lambda each: each[0])[1] if fits else None

    def take(which: Callable[[], Sequence[Pair]]) -> None:
        while (pair := cheapest(which())) is not None:
            turns.append(pair)

    every = _pairs(candidates)
    untold = tuple(c for c in candidates if not c.incident)
    take(lambda: [p for p in every if p[0].postmortem and p[0].postmortem not in {c.postmortem for c in chosen()}])
    for pair in list(turns):  # the tour's pair tells more of its post-mortem than the cheapest: so its suite says
        at = turns.index(pair)
        del turns[at]
        better = [p for p in every if p[0].postmortem == pair[0].postmortem and all(c.tour for c in p)]
        turns.insert(at, cheapest(better) or pair)
    take(lambda: [p for p in every if p[0].incident not in {c.incident for c in chosen()}])
    take(lambda: _second(candidates, chosen()))
    take(lambda: [untold] if untold and untold[0] not in chosen() else [])
    if candidates and not turns:
        raise OrdealError(_too_short(every or [untold], end_s, budget_s))

    def why(c: Candidate) -> str:
        late_s = end_s(_with_pair(c, candidates, chosen()) if c.incident else untold) - budget_s
        return _why(late_s) if late_s > 0 else "no pair of its incident fits, and nothing would prove its check"

    table = _timetable(_in_order(candidates, chosen()), costs, now_s)
    turn_of = {c.test: n for n, pair in enumerate(turns) for c in pair}
    planned = [Planned(c, starts_s, ends_s, turn_of[c.test]) for c, starts_s, ends_s in table]
    return BudgetPlan(
        budget_s,
        tuple(sorted(planned, key=lambda p: p.starts_s)),
        tuple(Left(c, why(c)) for c in candidates if c.test not in turn_of),
        _end_s(table, now_s),
    )


class Watch:
    """Looks at the clock before each replay of one process. What runs is never cut.

    Where the rest of the plan should not end in time any more, what was chosen last is given up first, until the rest
    does. Side by side a process knows of no other's progress, so each pair is looked at by itself.
    """

    def __init__(self, made: BudgetPlan, costs: Costs) -> None:
        self._budget_s, self._costs = made.budget_s, costs
        self._left = {each.replay.test: each for each in made.chosen}  # neither begun nor given up
        self._hardened = {p.replay.function for p in made.chosen if not p.replay.control}
        self._begun: set[str] = set()  # functions that have begun hardened
        self._given_up: dict[str, str] = {}
        self._built: set[str] = set()
        self._cluster = ("", "")
        self._last: tuple[Candidate, Costs, tuple[str, str]] | None = None  # begun last, and what it met

    def why_not(self, test: str, now_s: float) -> str:
        """Why a planned replay is not to begin now; "" where it may, and then it counts as begun."""
        if test in self._left:
            self._give_up(test, now_s)
        if test not in self._left:
            return self._given_up.get(test, "")
        replay = self._left.pop(test).replay
        if not replay.control:
            self._begun.add(replay.function)
        self._last = (replay, self._costs_now(), self._cluster)
        self._built.update(replay.builds)
        self._cluster = replay.like
        return ""

    def too_late(self, test: str, now_s: float) -> str:
        """The same for the replay that was begun last, and has done nothing yet but wait for its turn."""
        if self._last is None or self._last[0].test != test:
            return ""
        replay, costs, cluster = self._last
        late_s = _end_s(_timetable([replay], costs, now_s, cluster), now_s) - self._budget_s
        return f"{_why(late_s)}, seen {span(now_s)} after its start" if late_s > 0 else ""

    def _give_up(self, test: str, now_s: float) -> None:
        this = self._left[test]
        if this.replay.control and this.replay.function in self._hardened - self._begun:
            self._given_up[test] = "its hardened replay was left out"
            del self._left[test]
            return
        while test in self._left:
            rest = [p for p in self._left.values() if self._costs.lanes == 1 or p.turn == this.turn]
            late_s = self._ends_s([p.replay for p in rest], now_s) - self._budget_s
            if late_s <= 0:
                return
            last = max(p.turn for p in rest)
            for each in [p for p in rest if p.turn == last]:
                self._given_up[each.replay.test] = f"{_why(late_s)}, seen {span(now_s)} after its start"
                del self._left[each.replay.test]

    def _ends_s(self, replays: Sequence[Candidate], now_s: float) -> float:
        return _end_s(_timetable(replays, self._costs_now(), now_s, self._cluster), now_s)

    def _costs_now(self) -> Costs:
        return Costs(self._costs.cluster_s, {k: s for k, s in self._costs.build_s.items() if k not in self._built})


def _timetable(
    replays: Sequence[Candidate], costs: Costs, now_s: float, cluster: tuple[str, str] = ("", "")
) -> list[tuple[Candidate, float, float]]:
    """When each begins and ends; `cluster`: what the one that is there is like.

    Side by side, a scope goes to the process that is free first, and what runs alone waits for all the others and holds
    all of them back. That is later than it will be, but for luck.
    """
    free_s, clusters = [now_s] * costs.lanes, [cluster] * costs.lanes
    built: set[str] = set()
    lane_of: dict[str, int] = {}
    table = []
    for each in replays:
        lane = lane_of.setdefault(each.scope, min(range(costs.lanes), key=lambda n: free_s[n]))
        starts_s = max(free_s) if each.alone else free_s[lane]
        ends_s = starts_s + each.took_s + sum(costs.build_s.get(name, 0.0) for name in {*each.builds} - built)
        if clusters[lane] != each.like:
            ends_s += costs.cluster_s.get(each.like, 0.0)
        clusters[lane], free_s[lane] = each.like, ends_s
        built.update(each.builds)
        if each.alone:
            free_s = [ends_s] * costs.lanes
        table.append((each, starts_s, ends_s))
    return table


def _end_s(table: Sequence[tuple[Candidate, float, float]], now_s: float) -> float:
    return max((ends_s for _, _, ends_s in table), default=now_s) + END_S


def _in_order(candidates: Sequence[Candidate], chosen: Sequence[Candidate]) -> list[Candidate]:
    wanted = {c.test for c in chosen}
    return [c for c in candidates if c.test in wanted]


def _pairs(candidates: Sequence[Candidate]) -> list[Pair]:
    """What tells something of an incident by itself: a hardened replay with one of its function's controls.

    Where there is no such pair of an incident among the candidates, as without controls, one replay counts as a pair.
    """
    replays = [c for c in candidates if c.incident]
    found: list[Pair] = [
        (h, c) for h in replays for c in replays if not h.control and c.control and h.function == c.function
    ]
    paired = {pair[0].incident for pair in found}
    return found + [(c,) for c in replays if c.incident not in paired]


def _second(candidates: Sequence[Candidate], chosen: Sequence[Candidate]) -> list[Pair]:
    """What can be added once its incident is there: further pairs, further controls, replays that have no control."""
    there = {c.incident for c in chosen}
    rest = [c for c in candidates if c.incident in there and c not in chosen]
    return [_with_pair(c, candidates, chosen) for c in rest]


def _with_pair(c: Candidate, candidates: Sequence[Candidate], chosen: Sequence[Candidate]) -> Pair:
    """A replay with what it can't be chosen without: its hardened one, or, hardened, the shortest of its controls."""
    twins = [t for t in candidates if t.incident and t.function == c.function and bool(t.control) != bool(c.control)]
    if not twins or any(t in chosen for t in twins):
        return (c,)
    twin = min(twins, key=lambda t: t.took_s)
    return (twin, c) if c.control else (c, twin)


def _why(late_s: float) -> str:
    return f"it would end {span(max(1.0, late_s))} after the budget"


def _too_short(pairs: Sequence[Pair], end_s: Callable[[Pair], float], budget_s: float) -> str:
    shortest = min(pairs, key=end_s)
    first, needs_s = shortest[0], int(end_s(shortest)) + 1
    variants = " and ".join(c.control or "hardened" for c in shortest)
    what = f"{first.incident} on {first.cluster} ({variants})" if first.incident else "what was collected"
    return (
        f"--ordeal-budget {span(budget_s)} is too short: the shortest pair of replays, {what}, should be over after "
        f"{span(needs_s)}; give {needs_s}s or more"
    )
