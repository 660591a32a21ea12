"""stale-proxy-rules: a chain that is left over keeps kube-proxy from writing its rules."""

from contextlib import nullcontext

from chaos.clusters.abilities import NodeExec, NodeNetwork, RunsContainers
from chaos.clusters.base import Cluster
from chaos.clusters.shape import Shape
from chaos.harm.daemon import StopDaemon
from chaos.harm.kube_proxy import SwapKubeProxy
from chaos.judge.base import Invariant, judge
from chaos.judge.mutants import MutantTried, mutants_killed, tried
from chaos.record.history import History
from chaos.report.mutants import tried_row
from chaos.run.fit import fit_workers
from chaos.run.incident import HARDENED, incident
from chaos.run.lab import Lab, Sampling
from chaos.run.promised import Conditions, Judged, Seen, judged, nodes_of, says
from chaos.subjects.stale_rules.faults import LeaveChain, SetProxyMode
from chaos.subjects.stale_rules.promises import (
    arrived,
    changed,
    changes_arrive_afterwards,
    endpoint_changes_arrive,
    health_says_so,
    unhealthy,
)
from chaos.subjects.stale_rules.sampler import RuleSamples
from chaos.subjects.stale_rules.workload import an_endpoint, lose
from chaos.workloads.web import Deployed, Web

SERVICE, REPLICAS = "web", 3
NEEDS = (RunsContainers, NodeExec, NodeNetwork)
LEFT_OVER, DEAF, NO_BUG = "left-over-chain", "deaf-proxy", "no-bug"
MUTANT, TWIN = "last-change-counts", "shipped: health-says-so"
WRITTEN_WITHIN_S = 15.0  # kube-proxy writes once a second at the most; a busy machine takes its time
SYNC_PERIOD_S = 30.0  # as shipped: after a failure it tries again so much later
SAID_WITHIN_S = 2 * SYNC_PERIOD_S + 15.0  # two sync periods, and what may lie between two looks
AGAIN_AFTER_S = 40.0  # another change comes before the first one is too old
LOOKED_FOR_S = 100.0
NODE = Seen("a node", lambda history, value: value in nodes_of(history))


def promises(_: Conditions) -> tuple[Judged, ...]:
    return judged(says(endpoint_changes_arrive, SERVICE, NODE, within_s=WRITTEN_WITHIN_S), harm=(LeaveChain,))


def promises_afterwards(told: Conditions) -> tuple[Judged, ...]:
    kind = LeaveChain.kind
    health = [] if told.control == DEAF else [says(health_says_so, SERVICE, NODE, within_s=SAID_WITHIN_S, fault=kind)]
    after = says(changes_arrive_afterwards, SERVICE, NODE, within_s=SYNC_PERIOD_S, fault=kind)
    return judged(*health, after, harm=(LeaveChain, StopDaemon) if told.control == DEAF else (LeaveChain,))


def promises_of_mutant(told: Conditions) -> tuple[Judged, ...]:
    """Judged are the trials, which are written down as a recording of their own: without harm."""
    return judged(says(mutants_killed, [MUTANT], [] if told.control == NO_BUG else [TWIN]))


@incident(
    "stale-proxy-rules",
    on=("kind",),
    needs=NEEDS,
    controls=(LEFT_OVER,),
    faults={HARDENED: (SetProxyMode,)},
    promises=promises,
)
def test_changes_arrive_beside_a_chain_that_is_left_over(lab: Lab) -> None:
    """In nftables mode, changes of endpoints MUST be in a node's rules as if there was no chain that an earlier
    kube-proxy left over.
    """
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    node = fit_workers(cluster)[0].name
    kept = endpoint_changes_arrive(SERVICE, node, within_s=WRITTEN_WITHIN_S)
    with nullcontext() if lab.control else lab.configured(SetProxyMode("nftables")), lab.removing_workloads():
        web = lab.deploy(Web(replicas=REPLICAS))
        looks = _looks(cluster, node, web)
        with lab.record(probe=web, samplers=looks) as history:
            address = an_endpoint(web)
            with lab.inject(LeaveChain(node, address), nodes=(node,)):
                lose(web, address)
                if lab.control:
                    lab.hold_until_shown(kept, within_s=LOOKED_FOR_S)
                else:
                    lab.hold_until(
                        lambda: arrived(history, SERVICE, node),
                        within_s=LOOKED_FOR_S,
                        because="the node's rules lead to the new endpoints",
                    )
            lab.recover(lambda: arrived(history, SERVICE, node), within_s=SYNC_PERIOD_S, what="rules that are right")
    lab.expect(history, kept)


@incident(
    "stale-proxy-rules",
    on=("kind",),
    needs=NEEDS,
    controls=(DEAF,),
    variant="the chain goes",
    promises=promises_afterwards,
)
def test_kube_proxy_says_so_and_writes_again(lab: Lab) -> None:
    """When kube-proxy can't write its rules, its health MUST say so within two sync periods, and once it can again
    changes MUST be in the node's rules within 30 s, without a restart.
    """
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    node = fit_workers(cluster)[0].name
    web = lab.deploy(Web(replicas=REPLICAS))
    after = changes_arrive_afterwards(SERVICE, node, within_s=SYNC_PERIOD_S, fault=LeaveChain.kind)
    health = health_says_so(SERVICE, node, within_s=SAID_WITHIN_S, fault=LeaveChain.kind)
    with lab.record(samplers=_looks(cluster, node, web)) as history:
        if lab.control == DEAF:
            with lab.inject(StopDaemon(node, "kube-proxy"), nodes=(node,)):
                address = an_endpoint(web)
                with lab.inject(LeaveChain(node, address), nodes=(node,)):
                    lose(web, address)
                    lab.hold_until(
                        lambda: changed(history, SERVICE, node), within_s=LOOKED_FOR_S, because="endpoints are others"
                    )
                lab.hold_until_shown(after, within_s=LOOKED_FOR_S)
        else:
            _fail(lab, history, node, web)
        lab.recover(lambda: arrived(history, SERVICE, node), within_s=SYNC_PERIOD_S, what="rules that are right")
    lab.expect(history, *(() if lab.control == DEAF else (health,)), after)


@incident(
    "stale-proxy-rules",
    on=("kind",),
    needs=NEEDS,
    controls=(NO_BUG,),
    variant="mutant",
    mutants={HARDENED: (MUTANT,)},
    faults={HARDENED: (LeaveChain, SwapKubeProxy), NO_BUG: (LeaveChain,)},
    promises=promises_of_mutant,
)
def test_a_kube_proxy_that_counts_the_last_change_is_found(lab: Lab) -> None:
    """When kube-proxy's health counts from the newest change again, as it once did, `health-says-so` MUST be violated,
    and with the shipped one it MUST hold.
    """
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    if lab.control == NO_BUG:  # the shipped one under the mutant's name: nothing may be found in it
        said = [_trial(lab, cluster, MUTANT)]
    else:
        said = [_trial(lab, cluster, TWIN)]
        program = lab.mutant(MUTANT)
        with lab.configured(SwapKubeProxy(str(program.path))):
            said.append(_trial(lab, cluster, MUTANT))
    rows = (
        tried_row(
            each.mutant,
            incident="stale-proxy-rules",
            shipped="kube-proxy",
            judged_by=each.invariant,
            verdict=each.verdict,
            reason=each.why(),
        )
        for each in said
    )
    lab.table("mutants", list(rows))
    lab.expect(
        History.of_records(said), mutants_killed([MUTANT], [each.mutant for each in said if each.mutant == TWIN])
    )


def _trial(lab: Lab, cluster: Cluster, who: str) -> MutantTried:
    """Rules can't be written: what the promise about its health says of that kube-proxy."""
    lab.phase("story", f"rules can't be written, by {who}")
    node = fit_workers(cluster)[0].name
    web = lab.deploy(Web(replicas=REPLICAS))
    health: Invariant = health_says_so(SERVICE, node, within_s=SAID_WITHIN_S, fault=LeaveChain.kind)
    with lab.record(samplers=_looks(cluster, node, web)) as history:
        _fail(lab, history, node, web)
    lab.remove_workloads()
    return tried(0, who, health.name, [judge(health, history)])


def _fail(lab: Lab, history: History, node: str, web: Deployed) -> None:
    """Endpoints change, and later others, and the node's rules can't: until its kube-proxy says so, or is late."""
    address = an_endpoint(web)
    with lab.inject(LeaveChain(node, address), nodes=(node,)):
        lose(web, address)
        lab.hold(AGAIN_AFTER_S, "another change comes before the first one is too old")
        lose(web, an_endpoint(web))
        lab.hold_until(
            lambda: unhealthy(history, node),
            within_s=SAID_WITHIN_S - AGAIN_AFTER_S + 10.0,
            because="kube-proxy says that it is not well",
        )


def _looks(cluster: Cluster, node: str, web: Deployed) -> tuple[Sampling, ...]:
    assert isinstance(cluster, NodeExec)
    assert isinstance(cluster, NodeNetwork)
    reached = cluster
    return (lambda history: RuleSamples(history, reached, node, web),)
