"""ghost-endpoints: pods of a Service end, and one node's kube-proxy hears of it late."""

from collections.abc import Sequence

from chaos.clusters.abilities import NodeExec, NodeNetwork, RunsContainers
from chaos.clusters.base import Cluster
from chaos.clusters.shape import Shape
from chaos.harm.daemon import StopDaemon
from chaos.harm.drain import DrainNode
from chaos.harm.kube_proxy import SwapKubeProxy
from chaos.judge.base import Invariant, judge
from chaos.judge.mutants import MutantTried, mutants_killed, tried
from chaos.record.history import History
from chaos.record.probing import ServiceProbes
from chaos.report.mutants import tried_row
from chaos.run.fit import fit_workers
from chaos.run.incident import HARDENED, Load, incident
from chaos.run.lab import Lab, Sampling
from chaos.run.promised import WORKERS, Conditions, Judged, judged, says
from chaos.subjects.ghosts.promises import local_target, no_request_failed, ports_target, terminating_for
from chaos.subjects.ghosts.sampler import EndpointSamples, ProxyWaits
from chaos.subjects.ghosts.workload import Going, begin_rollout, local_service, node_port, scale, settled
from chaos.workloads.web import Deployed

SERVICE, NO_PAUSE, NO_BUG = "going", "no-pause", "no-bug"
MUTANT, TWIN = "terminating-ignored", "shipped: no-request-failed"
PAUSE_S, REPLICAS = 45, 4  # of which a kube-proxy stands still for a part: until evidence of it was taken
STOPPED_S = 5.0
SHOWN_WITHIN_S = 60.0
SETTLED_WITHIN_S = 120.0  # ends when it is seen: old pods have had their pause, and new ones are there


def promises(told: Conditions) -> tuple[Judged, ...]:
    harm = (StopDaemon,) if told.control == NO_PAUSE else (StopDaemon, DrainNode)
    return judged(says(no_request_failed, SERVICE, WORKERS, fault=StopDaemon.kind), harm=harm)


def promises_of_mutant(told: Conditions) -> tuple[Judged, ...]:
    """Judged are the trials, which are written down as a recording of their own: without harm."""
    return judged(says(mutants_killed, [MUTANT], [] if told.control == NO_BUG else [TWIN]))


@incident(
    "ghost-endpoints",
    on=("kind",),
    needs=(RunsContainers, NodeExec, NodeNetwork),
    controls=(NO_PAUSE,),
    load=Load.ALONE,  # it is told which connections failed
    promises=promises,
)
def test_no_request_fails_while_pods_go(lab: Lab) -> None:
    """During a rolling update, a scale-down and a drain of a Service whose pods pause before they end, no new
    connection MUST fail, by ClusterIP and by NodePort, also while the only endpoint of a node is terminating.
    """
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    kept, history = _story(lab, cluster, lab.control)
    lab.expect(history, kept)


@incident(
    "ghost-endpoints",
    on=("kind",),
    needs=(RunsContainers, NodeExec, NodeNetwork),
    controls=(NO_BUG,),
    variant="mutant",
    load=Load.ALONE,
    mutants={HARDENED: (MUTANT,)},
    faults={HARDENED: (StopDaemon, DrainNode, SwapKubeProxy), NO_BUG: (StopDaemon, DrainNode)},
    promises=promises_of_mutant,
)
def test_a_kube_proxy_that_ignores_terminating_endpoints_is_found(lab: Lab) -> None:
    """When kube-proxy sends nothing to terminating endpoints, as it once did, `no-request-failed` MUST be violated, and
    with the shipped one it MUST hold.
    """
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    if lab.control == NO_BUG:  # the shipped one under the mutant's name: nothing may be found in it
        said = [_trial(lab, cluster, MUTANT)]
    else:
        said = [_trial(lab, cluster, TWIN)]
        with lab.configured(SwapKubeProxy(str(lab.mutant(MUTANT).path))):
            said.append(_trial(lab, cluster, MUTANT))
    rows = (
        tried_row(
            each.mutant,
            incident="ghost-endpoints",
            shipped="kube-proxy",
            judged_by=each.invariant,
            verdict=each.verdict,
            reason=each.why(),
        )
        for each in said
    )
    lab.table("mutants", list(rows))
    twins = [each.mutant for each in said if each.mutant == TWIN]
    lab.expect(History.of_records(said), mutants_killed([MUTANT], twins))


def _trial(lab: Lab, cluster: Cluster, who: str) -> MutantTried:
    """Pods go: what the promise says of that kube-proxy."""
    lab.phase("story", f"pods go, with {who}")
    kept, history = _story(lab, cluster, None)
    lab.remove_workloads()
    return tried(0, who, kept.name, [judge(kept, history)])


def _story(lab: Lab, cluster: Cluster, control: str | None) -> tuple[Invariant, History]:
    """What is promised, and what was recorded."""
    nodes = tuple(node.name for node in fit_workers(cluster)[:2])
    going = lab.deploy(Going(0 if control == NO_PAUSE else PAUSE_S, REPLICAS))
    kept = no_request_failed(SERVICE, nodes, fault=StopDaemon.kind)
    with lab.record(probe=going, samplers=_samplers(cluster, going, nodes)) as history:
        with lab.inject(StopDaemon(nodes[0], "kube-proxy"), nodes=nodes[:1]):
            begin_rollout(going)
            if control == NO_PAUSE:
                lab.hold_until_shown(kept, within_s=SHOWN_WITHIN_S)
            else:
                lab.hold_until(
                    lambda: terminating_for(history, SERVICE) >= STOPPED_S,
                    within_s=SHOWN_WITHIN_S,
                    because=f"endpoints have been terminating for {STOPPED_S:g} s",
                )
        _settle(lab, going, REPLICAS)
        if control is None:
            scale(going, 1)
            _settle(lab, going, 1)
            (last,) = going.pods()
            with lab.inject(DrainNode(last.spec.node_name), nodes=(last.spec.node_name,)):
                _settle(lab, going, 1)
    return kept, history


def _settle(lab: Lab, going: Deployed, replicas: int) -> None:
    lab.recover(
        lambda: settled(going, replicas), within_s=SETTLED_WITHIN_S, what=f"{replicas} pods, and none that is going"
    )


def _samplers(cluster: Cluster, going: Deployed, nodes: Sequence[str]) -> list[Sampling]:
    """The endpoints, and probes of each node's ports: by one all endpoints are reached, by the other its own."""
    assert isinstance(cluster, NodeNetwork)
    assert isinstance(cluster, NodeExec)
    reached, looked_at = cluster, cluster
    ports, local = node_port(going, going.name), node_port(going, local_service(going.name))

    def of(target: str, node: str, port: int, by: Sequence[str]) -> Sampling:
        address = next(each for each in reached.addresses(node) if ":" not in each)
        url = f"http://{address}:{port}/"
        return lambda history: ServiceProbes(reached, history, target=target, url=url, nodes=by)

    def states(history: History) -> EndpointSamples:
        return EndpointSamples(history, going)

    def waits(node: str) -> Sampling:
        return lambda history: ProxyWaits(history, looked_at, node)

    others = {node: tuple(each for each in nodes if each != node) for node in nodes}
    return [
        states,
        *(waits(node) for node in nodes),
        *(of(ports_target(SERVICE, node), node, ports, nodes) for node in nodes),
        *(of(local_target(SERVICE, node), node, local, others[node]) for node in nodes),
    ]
