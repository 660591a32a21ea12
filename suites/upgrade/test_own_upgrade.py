"""own-upgrade: a cluster of the user's is watched while the user's own command upgrades it."""

import shlex

from chaos.clusters.abilities import NodeNetwork, RunsContainers
from chaos.clusters.base import EXISTING
from chaos.clusters.shape import Shape
from chaos.errors import OrdealError
from chaos.harm.scale import ScaleToZero
from chaos.judge.availability import outage_at_most
from chaos.judge.start import new_pods_start
from chaos.record.history import History
from chaos.run.fit import fit_workers
from chaos.run.incident import incident
from chaos.run.lab import Lab
from chaos.run.own import COMMAND
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.run.stage import LacksAbilityError
from chaos.subjects.upgrade.faults import UpgradeCommand
from chaos.subjects.upgrade.own import OUTPUT, kept, require_room, run_to_its_end
from chaos.subjects.upgrade.promises import each_node_upgraded, only_drained_pods_evicted, pods_run_throughout
from chaos.subjects.upgrade.workload import NAME as JOBS
from chaos.subjects.upgrade.workload import Jobs
from chaos.workloads.web import Deployed, Web

READY_WITHIN_S = 60.0  # with its new kubelet, after that was first seen
RAN_WITHIN_S = 300.0
AWAY_S = 3.0
OURS = ("web",)


def promises(told: Conditions) -> tuple[Judged, ...]:
    served = says(outage_at_most, 2.0)
    evicted = says(only_drained_pods_evicted, apart=(JOBS, "starter"), ours=OURS)
    if told.control:
        return judged(served, evicted, harm=(ScaleToZero,))
    return judged(
        served,
        evicted,
        says(each_node_upgraded, within_s=READY_WITHIN_S, fault=UpgradeCommand.kind),
        says(pods_run_throughout, within_s=RAN_WITHIN_S),
        says(new_pods_start, within_s=60),
        harm=(UpgradeCommand,),
    )


@incident(
    "own-upgrade",
    on=(EXISTING,),
    needs=(RunsContainers, NodeNetwork),
    controls=("no-replica",),
    promises=promises,
)
def test_a_cluster_serves_while_its_owner_upgrades_it(lab: Lab) -> None:
    """When the owner of a cluster upgrades it by their own tool, workloads MUST serve all the time, a pod MUST go only
    from a drained node, by eviction, each node MUST be Ready in time with its new kubelet, and pods that are asked for
    meanwhile MUST run.
    """
    if not lab.means.own.upgrade:
        raise LacksAbilityError(f"{COMMAND} names the command that upgrades the cluster, and was not given")
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    workers = fit_workers(cluster, 2)  # while one is drained, its pods need another one
    if away := [each.name for each in cluster.nodes() if each.ready != "True"]:
        raise OrdealError(f"before anything is upgraded every node has to be Ready; {', '.join(away)} is not")
    require_room(lab.means.own.upgrade_within_s, len(workers), 1 + len(lab.means.own.watched))
    web = lab.deploy(Web(replicas=4, at_least=2))
    evicted = only_drained_pods_evicted(apart=(JOBS, "starter"), ours=OURS)
    if lab.control:
        lab.expect(_without_a_replica(lab, web), outage_at_most(2.0), evicted)
        return
    lab.expect(
        _upgraded(lab, web),
        outage_at_most(2.0),
        evicted,
        each_node_upgraded(within_s=READY_WITHIN_S, fault=UpgradeCommand.kind),
        pods_run_throughout(within_s=RAN_WITHIN_S),
        new_pods_start(within_s=60),
    )


def _upgraded(lab: Lab, web: Deployed) -> History:
    """The recording of the command's run. Where it fails nobody can say when the cluster is to be well again."""
    own, output = lab.means.own, lab.directory / OUTPUT
    upgrade = UpgradeCommand(shlex.join(own.upgrade), str(output))

    def jobs(history: History) -> Jobs:
        return Jobs(history, web.cluster, within_s=RAN_WITHIN_S, namespace=web.namespace)

    with lab.record(probe=web, samplers=(jobs,)) as history, kept(output, lab.evidence):
        with lab.inject(upgrade) as saved:
            try:
                ended = run_to_its_end(upgrade, saved, history, own.upgrade_within_s)
            except BaseException:
                lab.phase("cut short", UpgradeCommand.remains)
                raise
        if ended.succeeded:
            lab.recover(
                lambda: lab.nodes_ready() and web.ready(), within_s=READY_WITHIN_S, what="every node and replica Ready"
            )
            lab.start_new_pods()
    return history


def _without_a_replica(lab: Lab, web: Deployed) -> History:
    with lab.record(probe=web) as history:
        with lab.inject(ScaleToZero(f"{web.namespace}/{web.name}")):
            lab.hold(AWAY_S, "there is no replica of it")
        lab.recover(web.ready, within_s=READY_WITHIN_S, what="every replica Ready")
    return history
