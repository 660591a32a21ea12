"""Nodes are tainted no faster than documented for their zone's state, and taints are taken back when all are away.

The documented rates and states: kube-controller-manager's flags `--node-eviction-rate`,
`--secondary-node-eviction-rate`, `--unhealthy-zone-threshold`, `--large-cluster-size-threshold`, and
pkg/controller/nodelifecycle/node_lifecycle_controller.go (ComputeZoneState, handleDisruption, setLimiterInZone).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from chaos.clusters.shape import Timers
from chaos.judge.base import Figure, Invariant, Judgement, bounds, for_good, held, promise, unknown, violated
from chaos.judge.sight import WHOLE, Span, names, never_landed, sure_at, unseen
from chaos.record.history import History, Window
from chaos.record.records import NodeChange, PodChange
from chaos.record.registry import Record

NO_EXECUTE = ("node.kubernetes.io/unreachable:NoExecute", "node.kubernetes.io/not-ready:NoExecute")
LISTING_S = 0.5  # a pass begins with listing and copying the nodes, before the first of them is seen to go away
BURST = 1  # a zone's queue begins with one token, and keeps at most one (scheduler.EvictionRateLimiterBurst)
NEVER_AFTER = 3.0  # times what is given: a busy machine's controller is late
FEWEST = 2  # with at most two nodes away a zone is never partially disrupted, whatever their share

TAINTS, TERMINATIONS = "taints", "terminations"
BEYOND_RATE, TAINTS_LEFT, TAINTED_ANEW = "beyond-rate", "taints-left", "tainted-anew"


class ZoneState(StrEnum):
    """What the node lifecycle controller makes of a zone, told apart by the rate that is documented for it."""

    NORMAL = "normal"
    LARGE_PARTIAL = "large-partial"
    SMALL_PARTIAL = "small-partial"
    FULL = "full"
    ALL_FULL = "all-full"


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time through which a zone was in one state; `away` is how many of its nodes were not Ready at its end."""

    state: ZoneState
    start: float
    end: float
    away: int

    @property
    def length_s(self) -> float:
        """How long it lasted, in seconds."""
        return self.end - self.start


@promise
@for_good
def taints_within_rate(
    zone: str, state: ZoneState, *, documented: Timers, at_least_s: float = 20.0, fault: str | None = None
) -> Invariant:
    """The zone reached `state` for `at_least_s`, and its nodes got NoExecute taints no faster than documented.

    All of the fault's time is judged, not only what the zone spent in `state`: for each stretch its rate times its
    length, and one token in all. Reason: "beyond-rate". Unknown where the zone was in the state for
    too short a time, or with too few nodes away, to show a rate beyond the documented one.
    """
    return _within_rate(TAINTS, _taints_given, zone, state, documented, at_least_s, Span(fault=fault))


@promise
@for_good
def terminations_within_rate(
    zone: str, state: ZoneState, *, documented: Timers, at_least_s: float = 20.0, fault: str | None = None
) -> Invariant:
    """No more nodes of the zone lost pods by deletion than the documented rates allow to be tainted.

    As `taints_within_rate`, but judged by what is deleted: how many nodes had a first pod marked for deletion.
    """
    return _within_rate(TERMINATIONS, _nodes_losing_pods, zone, state, documented, at_least_s, Span(fault=fault))


@promise
@bounds(within_s="taken_back_s")
def taints_taken_back(*, documented: Timers, within_s: float, fault: str | None = None) -> Invariant:
    """Once every node of every zone is not Ready, the NoExecute taints are gone `within_s` later, and none comes. Those
    that go later, up to NEVER_AFTER times as long, are unknown: the controller asks for each node, which takes time.
    So are those that may have gone while the recorder was blind.

    But for what was given in the very pass that found all nodes away: the controller takes taints back from the nodes
    as it listed them when that pass began (markNodeAsReachable in handleDisruption), and tainting goes on beside it. So
    no more than one a zone, and the zone's rate over the pass, may stay; the figure `left_by_the_last_pass` tells.
    Reasons: "taints-left", "tainted-anew". Unknown where not all nodes were away for that long, or where no node was
    tainted before (then nothing was there to be taken back).
    """
    span = Span(fault=fault)

    def judge(history: History) -> Judgement:
        window = span.of(history) if fault else history.fault_window()
        if window is None:
            return never_landed(span)
        nodes = _by_node(history)
        zones = {name: _zone(changes) for name, changes in nodes.items()}
        stretches = [
            s
            for s in _stretches(nodes, min(zones.values(), default=""), documented, _ended(window, history))
            if s.state is ZoneState.ALL_FULL
        ]
        if not stretches or stretches[-1].length_s < within_s:
            return unknown(f"not all nodes were away for {within_s:g} s, so nothing had to be taken back")
        since, until = stretches[-1].start, stretches[-1].end
        pass_began = _pass_began(nodes, since, documented)
        given = [c for c in _taints_given(history, nodes) if c.at <= until]
        last = {c.object for c in given if pass_began <= c.at <= since + within_s}
        before = [name for name, changes in nodes.items() if _tainted(_state_at(changes, pass_began))]
        if not before:
            return unknown("no node was tainted when the last one went away, so there was nothing to take back")
        due = since + within_s
        left = [c for changes in nodes.values() if (c := _state_at(changes, due)) is not None and _tainted(c)]
        in_pass = BURST + documented.eviction_rate * (since - pass_began)

        def too_many_of(left: Sequence[NodeChange]) -> list[NodeChange]:
            by_zone = Counter(zones[c.name] for c in left if c.name in last)
            return [c for c in left if c.name not in last or by_zone[zones[c.name]] > in_pass]

        too_many = too_many_of(left)
        never = min(until, since + NEVER_AFTER * within_s)
        anew = [c for c in given if due < c.at]
        away_for_good = never >= since + NEVER_AFTER * within_s
        late = [c for c in left if not _tainted(_state_at(nodes[c.name], never))]
        gone = {c.object for c in [*late, *anew]}
        kept = [c for c in left if c.name not in gone and sure_at(history, "nodes", nodes[c.name], never)]
        if away_for_good and (stayed := too_many_of(kept)):
            return violated(
                f"{len(stayed)} of {len(nodes)} nodes still had their taint {within_s:g} s after all were away: "
                f"{names([c.name for c in stayed])}",
                stayed,
                reason=TAINTS_LEFT,
                nodes=len(nodes),
                tainted_before=len(before),
                left=len(left),
            )
        if anew:
            return violated(
                f"{len(anew)} nodes were tainted while all were away, first {anew[0].object}",
                anew,
                reason=TAINTED_ANEW,
                nodes=len(nodes),
                tainted=len(anew),
            )
        doubt = unseen(history, "nodes", Window(since, until))
        if too_many and doubt is None:
            going = [c for c in too_many if c in late]
            doubt = unknown(
                f"{len(too_many)} of {len(nodes)} nodes had their taint for longer than {within_s:g} s after all "
                f"were away, {len(going)} of them no more {never - since:.1f} s after it",
                too_many,
            )
        gone_at = max(_untainted_at(nodes[name], since) for name in before)
        stay = f"; {len(left)} given in the pass that found it so stayed" if left else ""
        return doubt or held(
            f"all {len(before)} taints were taken back {gone_at - since:.1f} s after the last of {len(nodes)} nodes "
            f"went away, and none was given in the {until - since:.0f} s that all were{stay}",
            nodes=len(nodes),
            tainted_before=len(before),
            taken_back_s=round(gone_at - since, 3),
            all_away_s=round(until - since, 3),
            left_by_the_last_pass=len(left),
        )

    return Invariant("taints-taken-back", judge)


def rate_of(state: ZoneState, documented: Timers) -> float:
    """Nodes per second that may be tainted in a zone of that state."""
    return {
        ZoneState.NORMAL: documented.eviction_rate,
        ZoneState.LARGE_PARTIAL: documented.secondary_eviction_rate,
        ZoneState.SMALL_PARTIAL: 0.0,
        ZoneState.FULL: documented.eviction_rate,  # while another zone has a Ready node
        ZoneState.ALL_FULL: 0.0,
    }[state]


def rate_shows(
    history: History, zone: str, state: ZoneState, *, documented: Timers, for_s: float, fault: str | None = None
) -> bool:
    """Whether by now the zone was in that state for `for_s` seconds, with more of its nodes away than may be tainted:
    then a rate beyond the documented one would show, and a hold that lasts until that was seen may end.
    """
    window = _until_now(history, fault)
    stretches = _stretches(_by_node(history), zone, documented, window) if window else []
    allowed = int(_allowed(stretches, documented))
    reached = _reached(stretches, state, allowed)
    return reached is not None and reached.length_s >= for_s and reached.away > allowed


def taking_back_shows(history: History, *, documented: Timers, within_s: float, fault: str | None = None) -> bool:
    """Whether by now every node of every zone was away for longer than `within_s`, and no taint is left, or will go:
    then `taints_taken_back` can be judged, and a hold that lasts until that was seen may end.
    """
    window, nodes = _until_now(history, fault), _by_node(history)
    zone = min((_zone(changes) for changes in nodes.values()), default="")
    stretches = _stretches(nodes, zone, documented, window) if window else []
    if not stretches or stretches[-1].state is not ZoneState.ALL_FULL or stretches[-1].length_s <= within_s:
        return False
    is_over = stretches[-1].length_s > NEVER_AFTER * within_s
    return is_over or not any(_tainted(changes[-1]) for changes in nodes.values())


def tainted_s(history: History, nodes: Sequence[str], window: Window = WHOLE) -> dict[str, float]:
    """For each of the nodes the longest time, in seconds, for which it carried a NoExecute taint in the window.

    A window without an end ends with the last record; one that ends now, `history.now()`, is for a fault that lasts.
    """
    end = window.end if window.end != float("inf") else max((record.at for record in history), default=0.0)
    longest = dict.fromkeys(nodes, 0.0)
    since: dict[str, float] = {}
    for change in history.of(NodeChange):
        if change.name not in longest or change.at > end:
            continue
        if _tainted(change) and change.change != "deleted":
            since.setdefault(change.name, max(change.at, window.start))
        elif change.name in since:
            longest[change.name] = max(longest[change.name], change.at - since.pop(change.name))
    for name, began in since.items():
        longest[name] = max(longest[name], end - began)
    return longest


Nodes = Mapping[str, Sequence[NodeChange]]
Happened = Callable[[History, Nodes], list[Record]]


def _within_rate(
    what: str,
    happened: Happened,
    zone: str,
    state: ZoneState,
    documented: Timers,
    at_least_s: float,
    span: Span,
) -> Invariant:
    def judge(history: History) -> Judgement:
        window = span.of(history) if span.fault else history.fault_window()
        if window is None:
            return never_landed(span)
        nodes = _by_node(history)
        stretches = _stretches(nodes, zone, documented, _ended(window, history))
        if not stretches:
            return unknown(f"no node of zone {zone} was seen")
        seen = [
            record
            for record in happened(history, nodes)
            if _zone_of(nodes, record) == zone and stretches[0].start <= record.at <= stretches[-1].end
        ]
        allowed = _allowed(stretches, documented)
        reached = _reached(stretches, state, int(allowed))
        rate = rate_of(state, documented)
        figures: dict[str, Figure] = {
            "zone": zone,
            "nodes": sum(1 for changes in nodes.values() if _zone(changes) == zone),
            "away": reached.away if reached else 0,
            "documented_per_s": rate,
            "allowed": int(allowed),
            what: len(seen),
        }
        if reached is not None:
            within = sum(1 for record in seen if reached.start <= record.at <= reached.end)
            figures |= {
                f"{what}_in_state": within,
                "in_state_s": round(reached.length_s, 3),
                "measured_per_s": round(within / reached.length_s, 4) if reached.length_s else 0.0,
            }
        judged_s = stretches[-1].end - stretches[0].start
        if len(seen) > int(allowed):
            return violated(
                f"zone {zone}: {len(seen)} {what}, {int(allowed)} were allowed in {judged_s:.0f} s",
                seen,
                reason=BEYOND_RATE,
                **figures,
            )
        if reached is None or reached.length_s < at_least_s:
            for_s = reached.length_s if reached else 0.0
            return unknown(
                f"zone {zone} was {state} for {for_s:.0f} s only, {at_least_s:g} s are needed to measure a rate"
            )
        if reached.away <= int(allowed):
            return unknown(
                f"only {reached.away} nodes of zone {zone} were away: too few to show more than {int(allowed)}"
            )
        judged = Window(stretches[0].start, stretches[-1].end)
        blind = unseen(history, "nodes", judged) or (unseen(history, "pods", judged) if what == TERMINATIONS else None)
        return blind or held(
            f"zone {zone} was {state} for {reached.length_s:.0f} s with {reached.away} nodes away: {len(seen)} {what}, "
            f"{int(allowed)} allowed ({rate:g}/s documented)",
            **figures,
        )

    return Invariant(f"{what}-within-rate-{state}", judge)


def _reached(stretches: Sequence[Stretch], state: ZoneState, allowed: int) -> Stretch | None:
    """The stretch in which a zone was in that state with enough nodes away, and for longest. An undo that takes long is
    in the fault's time: a zone whose nodes are back is in that state, too.
    """
    in_state = (s for s in stretches if s.state is state)
    return max(in_state, key=lambda s: (s.away > allowed, s.length_s), default=None)


def _until_now(history: History, fault: str | None) -> Window | None:
    window = history.fault_window(fault)
    return None if window is None else Window(window.start, min(window.end, history.now()))


def _allowed(stretches: Sequence[Stretch], documented: Timers) -> float:
    """How many nodes may be tainted over these stretches.

    The one token is there once: a new rate begins without one, where the old had none left (SwapLimiter in
    pkg/controller/nodelifecycle/scheduler/rate_limited_queue.go). The controller sees a zone's new state at the end of
    the pass in which it wrote it, and the next one may come a period later: that long a higher rate may go on.
    """
    allowed, before = float(BURST), 0.0
    for stretch in stretches:
        rate = rate_of(stretch.state, documented)
        allowed += rate * stretch.length_s + max(0.0, before - rate) * documented.monitor_period_s
        before = rate
    return allowed


def _stretches(nodes: Nodes, zone: str, documented: Timers, window: Window) -> list[Stretch]:
    """The states a zone went through in the window, as the controller computes them from the nodes' readiness.

    Nodes labelled node.kubernetes.io/exclude-disruption are counted here, though the controller leaves them out.
    """
    zones = {name: _zone(changes) for name, changes in nodes.items()}
    if zone not in zones.values():
        return []
    away = {name: (_state_at(changes, window.start) or changes[0]).ready != "True" for name, changes in nodes.items()}
    inside = sum(1 for of in zones.values() if of == zone)
    away_inside = sum(1 for name, is_away in away.items() if is_away and zones[name] == zone)
    away_in_all = sum(away.values())
    found: list[Stretch] = []
    state, start = _zone_state(inside, away_inside, len(nodes), away_in_all, documented), window.start
    for move in sorted((c for changes in nodes.values() for c in changes if c.at in window), key=lambda c: c.at):
        now_away = move.ready != "True" or move.change == "deleted"
        before = away_inside
        step = int(now_away) - int(away[move.name])
        if not step:
            continue
        away[move.name] = now_away
        away_in_all += step
        away_inside += step if zones[move.name] == zone else 0
        now = _zone_state(inside, away_inside, len(nodes), away_in_all, documented)
        if now is not state:
            found.append(Stretch(state, start, move.at, before))
            state, start = now, move.at
    found.append(Stretch(state, start, window.end, away_inside))
    return found


def _zone_state(inside: int, away: int, nodes: int, away_in_all: int, documented: Timers) -> ZoneState:
    if away_in_all == nodes:
        return ZoneState.ALL_FULL
    if away and away == inside:
        return ZoneState.FULL
    if away > FEWEST and away / inside >= documented.unhealthy_zone_threshold:
        return ZoneState.LARGE_PARTIAL if inside > documented.large_cluster_size else ZoneState.SMALL_PARTIAL
    return ZoneState.NORMAL


def _pass_began(nodes: Nodes, since: float, documented: Timers) -> float:
    """When the controller began the pass in which the last node went away.

    In one pass nodes go away one after the other; between two passes there is a monitor period without any.
    """
    gone = sorted(
        change.at
        for changes in nodes.values()
        for before, change in pairwise(changes)
        if before.ready == "True" and change.ready != "True" and change.at <= since
    )
    began = since
    for at in reversed(gone):
        if began - at > documented.monitor_period_s * 0.75:
            break
        began = at
    return began - LISTING_S


def _by_node(history: History) -> Nodes:
    nodes: dict[str, list[NodeChange]] = {}
    for change in history.of(NodeChange):
        nodes.setdefault(change.name, []).append(change)
    return nodes


def _ended(window: Window, history: History) -> Window:
    """A window that has an end: where the fault was never undone, the last thing that was recorded."""
    if window.end != float("inf"):
        return window
    return Window(window.start, max(record.at for record in history))


def _taints_given(_: History, nodes: Nodes) -> list[Record]:
    """Each change by which a node came to have a NoExecute taint. One key in place of the other is no new taint."""
    given: list[Record] = []
    for changes in nodes.values():
        before = changes[0]
        for change in changes[1:]:
            if _tainted(change) and not _tainted(before):
                given.append(change)
            before = change
    return sorted(given, key=lambda record: record.at)


def _nodes_losing_pods(history: History, _: Nodes) -> list[Record]:
    """For each node that lost a pod by deletion, the change that first showed it."""
    first: dict[str, Record] = {}
    going: set[str] = set()
    for change in history.of(PodChange):
        ends = change.deleting or change.change == "deleted"
        if ends and change.change != "listed" and change.uid not in going and change.node:
            first.setdefault(change.node, change)
        if ends:
            going.add(change.uid)
    return list(first.values())


def _state_at(changes: Sequence[NodeChange], at: float) -> NodeChange | None:
    """The last change until then; None where the node was not yet seen, or is gone."""
    until = [change for change in changes if change.at <= at]
    return until[-1] if until and until[-1].change != "deleted" else None


def _tainted(change: NodeChange | None) -> bool:
    return change is not None and any(taint in NO_EXECUTE for taint in change.taints)


def _untainted_at(changes: Sequence[NodeChange], since: float) -> float:
    return next((c.at for c in changes if c.at >= since and not _tainted(c)), since)


def _zone(changes: Sequence[NodeChange]) -> str:
    return next((change.zone for change in changes if change.zone), "")


def _zone_of(nodes: Nodes, record: Record) -> str:
    name = record.node if isinstance(record, PodChange) else record.object
    return _zone(nodes.get(name, ()))
