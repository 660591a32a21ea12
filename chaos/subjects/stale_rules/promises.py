"""A node's rules follow the endpoints, and where they can't kube-proxy says so."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from chaos.judge.base import Figure, Invariant, Judgement, bounds, held, promise, unknown, violated
from chaos.judge.sight import overlapping
from chaos.record.history import History, Window
from chaos.record.registry import Record
from chaos.subjects.stale_rules.records import SOURCE, STOPPED, UNHEALTHY, NodeRules, ProxyState

RESTORE_FAILED, PROXY_STOPPED, NOT_WRITTEN, SAID_HEALTHY = (
    "restore-failed",
    "proxy-stopped",
    "not-written",
    "said-healthy",
)
# A kube-proxy that is neither stopped nor refused by the kernel, and writes nothing, may wait for a processor: it is
# given so many times what is promised.
PATIENCE = 4.0


@dataclass(frozen=True, slots=True)
class _Change:
    """Endpoints that changed `at`, and until when they were the same; when the rules were those, None where never."""

    at: float
    until: float
    arrived: float | None
    proof: NodeRules


@promise
@bounds(within_s="longest_s")
def endpoint_changes_arrive(service: str, node: str, *, within_s: float) -> Invariant:
    """Each change of a Service's ready endpoints was in the node's rules `within_s` later.

    Reasons: "restore-failed" where kube-proxy could not write rules meanwhile, as it counts itself, "proxy-stopped"
    where it stood still, else "not-written", which takes four times as long: it may have waited for a processor.
    Unknown where nothing changed, a change was not there for long enough, and where the node was not seen.
    """

    def judge(history: History) -> Judgement:
        return _judged(history, service, node, within_s, None)

    return Invariant("endpoint-changes-arrive", judge)


@promise
@bounds(within_s="longest_s")
def changes_arrive_afterwards(service: str, node: str, *, within_s: float, fault: str) -> Invariant:
    """Once the fault was undone, the last change of a Service's ready endpoints that came while it lasted was in the
    node's rules `within_s` later, by a kube-proxy that was not started anew. Reasons and the rest as in
    `endpoint_changes_arrive`.
    """

    def judge(history: History) -> Judgement:
        window = history.fault_window(fault)
        if window is None:
            return unknown(f"the fault {fault} never landed: nothing kept kube-proxy from writing its rules")
        return _judged(history, service, node, within_s, window)

    return Invariant("changes-arrive-afterwards", judge)


@promise
@bounds(within_s="said_after_s")
def health_says_so(service: str, node: str, *, within_s: float, fault: str) -> Invariant:
    """Where a change of endpoints can't be written, kube-proxy's /healthz says so (503) `within_s` after it.

    Counted from the first change under the fault. Reason: "said-healthy". Unknown where rules could be written, the
    fault was undone too soon, or the node was not seen.
    """

    def judge(history: History) -> Judgement:
        window = history.fault_window(fault)
        if window is None:
            return unknown(f"the fault {fault} never landed: nothing kept kube-proxy from writing its rules")
        changed = [first.at for first in _began(history, service, node) if first.at in window]
        said = [state for state in history.of(ProxyState) if state.node == node]
        before = [state.failures for state in said if state.at <= window.start]
        failed = [state for state in said if state.at in window and before and state.failures > before[-1]]
        if not changed or not failed:
            return unknown(f"kube-proxy of {node} was not seen to fail to write a change of endpoints")
        start = changed[0]
        unwell = [state for state in said if state.health == UNHEALTHY and start <= state.at <= window.end]
        after_s = (unwell[0].at if unwell else window.end) - start
        figures: dict[str, Figure] = {"failures": failed[-1].failures, "said_after_s": round(after_s, 3)}
        late = after_s > within_s
        if doubt := _blind(history, node, Window(start, start + within_s + 1)) if late else None:
            return doubt
        if late:
            return violated(
                f"kube-proxy of {node} could not write its rules and said that it was well for {after_s:.1f} s",
                [failed[0], *said[-1:]],
                reason=SAID_HEALTHY,
                **figures,
            )
        if not unwell:
            return unknown(f"kube-proxy of {node} was looked at for {after_s:.1f} s only after it could not write")
        return held(f"kube-proxy of {node} said that it is not well {after_s:.1f} s after the change", **figures)

    return Invariant("health-says-so", judge)


def arrived(history: History, service: str, node: str) -> bool:
    """Whether the node's rules lead where they should, as far as was seen last."""
    rules = [each for each in history.of(NodeRules) if (each.service, each.node) == (service, node)]
    return bool(rules) and rules[-1].wanted == rules[-1].written and len(rules) > 1


def changed(history: History, service: str, node: str) -> bool:
    """Whether other endpoints were wanted than at first."""
    return any(True for _ in _changes(history, service, node))


def unhealthy(history: History, node: str) -> bool:
    """Whether its kube-proxy says by now that it is not well."""
    said = [state for state in history.of(ProxyState) if state.node == node]
    return bool(said) and said[-1].health == UNHEALTHY


def _judged(history: History, service: str, node: str, within_s: float, during: Window | None) -> Judgement:
    changes = list(_changes(history, service, node))
    if during is not None:
        changes = [change for change in changes if change.at in during][-1:]
    if not changes:
        return unknown(f"the endpoints of {service} never changed" + (" under the fault" if during else ""))
    doubts, longest_s = list[Judgement](), 0.0
    for change in changes:
        start = max(change.at, during.end) if during else change.at
        took_s = max((change.until if change.arrived is None else change.arrived) - start, 0.0)
        restarted = _restarted(history, node, change) if during else ()
        if took_s > within_s:
            since = start if during else _last_right(history, service, node, start)
            reason, proof = _why(history, node, Window(since, start + took_s))
            allowed_s = PATIENCE * within_s if reason == NOT_WRITTEN else within_s
            if took_s > allowed_s and not overlapping(history, f"{SOURCE}:{node}", Window(start, start + allowed_s)):
                return violated(
                    f"the rules of {node} did not lead to the endpoints of {service} {took_s:.1f} s after "
                    f"{'it could write them again' if during else 'they had changed'}",
                    [change.proof, *proof],
                    reason=reason,
                    changes=len(changes),
                    longest_s=round(took_s, 3),
                )
            doubts.append(unknown(f"the rules of {node} were late, and it is not known why", [change.proof]))
        elif change.arrived is None:
            doubts.append(unknown(f"a change of {service} was there for {took_s:.1f} s only", [change.proof]))
        elif restarted:
            doubts.append(unknown(f"kube-proxy of {node} was started anew", restarted))
        longest_s = max(longest_s, took_s)
    doubt = _blind(history, node, Window(changes[0].at, max(record.at for record in history)))
    if doubts or doubt:
        return doubts[0] if doubts else (doubt or unknown(""))
    return held(
        f"{len(changes)} changes of {service} were in the rules of {node}, at the latest {longest_s:.1f} s later",
        changes=len(changes),
        longest_s=round(longest_s, 3),
    )


def _began(history: History, service: str, node: str) -> list[NodeRules]:
    """The first look at each change of the endpoints that are wanted."""
    rules = [each for each in history.of(NodeRules) if (each.service, each.node) == (service, node)]
    return [b for a, b in pairwise(rules) if a.wanted != b.wanted]


def _changes(history: History, service: str, node: str) -> Iterator[_Change]:
    """Each time that other endpoints were wanted than before, but for the first."""
    rules = [each for each in history.of(NodeRules) if (each.service, each.node) == (service, node)]
    end = max((record.at for record in history), default=0.0)
    began = _began(history, service, node)
    for number, first in enumerate(began):
        until = began[number + 1].at if number + 1 < len(began) else end
        same = [each for each in rules if first.at <= each.at < until or each is first]
        there = next((each.at for each in same if each.written == each.wanted), None)
        if there is None and number + 1 < len(began):
            continue  # others took its place before it could be there
        yield _Change(first.at, until, there, first)


def _last_right(history: History, service: str, node: str, at: float) -> float:
    """When the node's rules were seen to lead where they should for the last time before a moment: what kept them from
    it since then may have kept them from others before, which these took the place of.
    """
    rules = [each for each in history.of(NodeRules) if (each.service, each.node) == (service, node) and each.at <= at]
    return max((each.at for each in rules if each.wanted == each.written), default=at)


def _why(history: History, node: str, window: Window) -> tuple[str, Sequence[ProxyState]]:
    said = [state for state in history.of(ProxyState) if state.node == node]
    last = [state for state in said if state.at <= window.start][-1:]
    during = [state for state in said if state.at in window]
    failed = [state for state in during if last and state.failures > last[0].failures]
    stopped = [state for state in [*last, *during] if state.state == STOPPED]
    if stopped:
        return PROXY_STOPPED, stopped
    return (RESTORE_FAILED, failed) if failed else (NOT_WRITTEN, ())


def _restarted(history: History, node: str, change: _Change) -> tuple[Record, ...]:
    said = [state for state in history.of(ProxyState) if state.node == node]
    old = {state.started for state in said if state.at <= change.at}
    end = change.until if change.arrived is None else change.arrived
    return tuple(state for state in said if change.at < state.at <= end and state.started not in old)


def _blind(history: History, node: str, window: Window) -> Judgement | None:
    gaps = overlapping(history, f"{SOURCE}:{node}", window)
    if not gaps:
        return None
    return unknown(f"{node} was not seen from {gaps[0].at:.1f} to {gaps[0].until:.1f} s: {gaps[0].why}", gaps)
