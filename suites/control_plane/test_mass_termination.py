"""mass-termination on real kubelets: the containers must go on serving through the cut, and after it."""

from chaos.clusters.abilities import NodeNetwork, RunsContainers
from chaos.clusters.shape import Shape
from chaos.harm.network import CutOff
from chaos.hosts.parts import FIREWALL
from chaos.judge.availability import outage_at_most
from chaos.judge.nodes_ready import DOCUMENTED_WITHIN_S, nodes_ready_again
from chaos.judge.pods import no_container_restarted, nothing_terminated
from chaos.run.chance import hold_for_eviction
from chaos.run.fit import fit_workers
from chaos.run.incident import incident
from chaos.run.lab import Lab
from chaos.run.promised import WORKERS, Conditions, Judged, judged, says
from chaos.workloads.web import Web


def promises(told: Conditions) -> tuple[Judged, ...]:
    return judged(
        says(nothing_terminated, "web", tolerated_s=told.timers.toleration_s),
        says(no_container_restarted, "web"),
        says(outage_at_most, 2.0),
        says(nodes_ready_again, WORKERS, within_s=DOCUMENTED_WITHIN_S),
        harm=(CutOff,),
    )


@incident(
    "mass-termination",
    on=("kind",),
    needs=(RunsContainers, NodeNetwork),
    host=(FIREWALL,),
    controls=("default-tolerations",),
    promises=promises,
)
def test_nodes_that_lose_the_apiserver_keep_their_pods(lab: Lab) -> None:
    """When every kubelet loses the API server for longer than grace and toleration, the control plane MUST NOT
    terminate their pods, no container MUST restart when the network returns, and the Service MUST answer throughout.
    """
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    workers = tuple(n.name for n in fit_workers(cluster))
    control_plane = tuple(n.name for n in cluster.nodes() if n.control_plane)
    web = lab.deploy(Web(replicas=6, tolerate_for_ever=lab.control is None, publish_not_ready=True))
    with lab.record(probe=web) as history:
        with lab.inject(CutOff(nodes=workers, peers=control_plane)):
            hold_for_eviction(lab, history, web.name, workers)
        lab.recover(
            lambda: lab.nodes_ready() and web.ready(), within_s=DOCUMENTED_WITHIN_S, what="every node and replica Ready"
        )
        lab.hold(5, "a kubelet that obeys a deletion does so when it syncs again")
    lab.expect(
        history,
        nothing_terminated(web.name, tolerated_s=lab.timers.toleration_s),
        no_container_restarted(web.name),
        outage_at_most(2.0),
        nodes_ready_again(workers, within_s=DOCUMENTED_WITHIN_S),
    )
