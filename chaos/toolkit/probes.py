"""The measures as Chaos Toolkit probes: invariants that return findings, figures that return numbers, the verdict.

There is a probe for each promise that is registered, called as the promise is, with its parameters as arguments
(chaos.toolkit.making says how they are given). It judges the recording, and returns a finding: {"invariant", "verdict":
"held" | "violated" | "unknown", "sentence", "reason", "figures"}. The verdict is made of all findings of the run. A
figure that can't be had is a failed probe, never a number.
"""

from collections.abc import Mapping

from chaos.errors import OrdealError
from chaos.judge import availability, load_all, pods, start
from chaos.judge.base import Figure, Invariant, Recipe, Verdict, judge, made_again, made_by, promises
from chaos.record.records import NodeChange
from chaos.toolkit.making import Function, made, step, written
from chaos.toolkit.reported import Reported, reported, reported_finding
from chaos.toolkit.session import SESSION, always
from chaos.toolkit.words import DEFAULTS, SAID

UNREACHABLE_NO_EXECUTE = "node.kubernetes.io/unreachable:NoExecute"
FOR_EVER_S = float("inf")


# --- figures


@step
def nodes_ready() -> int:
    """How many nodes are Ready now."""
    return sum(n.ready == "True" for n in SESSION.cluster().nodes())


@step
def all_nodes_ready() -> bool:
    """Whether every node is Ready now."""
    there = SESSION.cluster().nodes()
    return bool(there) and all(n.ready == "True" for n in there)


@step
def longest_outage_ms(node: str | None = None) -> int:
    """The longest time, in milliseconds, for which the workload's Service did not answer, from any node or from one."""
    figures = _figures(availability.outage_at_most(FOR_EVER_S, nodes=(node,) if node else None))
    return int(figures["longest_outage_ms"])


@step
def pods_terminated(workload: str = "web") -> int:
    """How many pods of the workload were marked for deletion, deleted, evicted, or failed."""
    return int(_figures(pods.nothing_terminated(workload))["terminated"])


@step
def containers_restarted(workload: str = "web") -> int:
    """In how many pods of the workload a container restarted."""
    return int(_figures(pods.no_container_restarted(workload)).get("pods_restarted", 0))


@step
def slowest_pod_start_s() -> float:
    """The longest time, in seconds, that a pod of start_new_pods took from the request to Ready."""
    figures = _figures(start.new_pods_start(within_s=FOR_EVER_S), allow_violated=False)
    return float(figures["slowest_s"])


@step
def taints_per_s(zone: str = "", taint: str = UNREACHABLE_NO_EXECUTE) -> float:
    """The pace at which nodes of the zone (default: all) got the taint, from the first node to the last.

    0 where fewer than two nodes got it. taint: "key:Effect".
    """
    seen = SESSION.history.of(NodeChange)
    if not seen:
        raise OrdealError("no node was recorded, so no pace of taints can be told")
    first: dict[str, float] = {}
    for change in seen:
        if taint in change.taints and zone in {"", change.zone}:
            first.setdefault(change.name, change.at)
    if len(first) < 2:
        return 0.0
    span_s = max(first.values()) - min(first.values())
    if span_s == 0:
        raise OrdealError(f"{len(first)} nodes were seen with {taint} at the same moment, so no pace can be told")
    return (len(first) - 1) / span_s


# --- the verdict


@always
def verdict() -> Reported:
    """The verdict of the run, of its replay or by all its findings: held, violated or unknown, with the sentence that
    says why; its `outcome` is "passed" where it is what it must be: held, and in a control violated for the reason that
    it names.

    Unknown where any activity failed before, where a fault is still in place, or where nothing was judged. As a
    hypothesis give it the tolerance {type: regex, target: outcome, pattern: ^passed$}, and run it after the method.
    """
    outcome = SESSION.verdict()
    if outcome is None:
        why = SESSION.problem or "nothing was done yet"
        return {"verdict": str(Verdict.UNKNOWN), "outcome": "failed", "passed": False, "why": why, "findings": []}
    return reported(outcome)


def _figures(invariant: Invariant, *, allow_violated: bool = True) -> Mapping[str, Figure]:
    """The figures that the invariant measures, without a finding. Raises OrdealError where nothing vouches for them."""
    finding = judge(invariant, SESSION.history)
    if finding.verdict is Verdict.UNKNOWN or (finding.verdict is Verdict.VIOLATED and not allow_violated):
        raise OrdealError(f"this can't be measured: {finding.sentence}")
    return finding.figures


# --- what is made of the promises that are registered


def _probe(name: str) -> Function:
    promise, call = made_by(name), SAID.get(name)

    def do(**given: object) -> Reported | None:
        invariant = made_again(Recipe(name, given)) if call is None else call(**given)
        if invariant is None:
            return None
        SESSION.lab.expect(SESSION.history, invariant)
        return reported_finding(SESSION.lab.findings[-1])

    doc = f"{promise.__doc__}\n\n{call.__doc__}" if call is not None else str(promise.__doc__)
    return made(name, __name__, call or promise, do, defaults=DEFAULTS.get(name), doc=doc)


load_all()
globals().update({name: _probe(name) for name in promises()})
__all__ = list(written(globals()))
