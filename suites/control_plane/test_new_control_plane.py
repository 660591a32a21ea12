"""new-control-plane: a second control plane on the same etcd, where the kubelets do not look."""

from chaos.clusters.abilities import ControlPlaneSwap, RunsContainers
from chaos.clusters.base import SIMULATED
from chaos.clusters.shape import Shape
from chaos.harm.control_plane import ReplaceControlPlane
from chaos.judge.nodes_ready import DOCUMENTED_WITHIN_S, nodes_ready_again
from chaos.judge.pods import no_container_restarted, nothing_terminated
from chaos.run.chance import hold_limit_s
from chaos.run.incident import incident
from chaos.run.lab import Lab
from chaos.run.promised import WORKERS, Conditions, Judged, judged, says
from chaos.workloads.web import Web

# Names since Kubernetes 1.29 (cmd/kube-controller-manager/names/controller_names.go).
WITHOUT_NODE_LIFECYCLE = "*,-node-lifecycle-controller,-taint-eviction-controller"
EVERYTHING = "*"


def promises(told: Conditions) -> tuple[Judged, ...]:
    """Simulated nodes run no container that could restart."""
    return judged(
        says(nothing_terminated, "web"),
        says(nodes_ready_again, WORKERS, within_s=DOCUMENTED_WITHIN_S),
        *([] if told.cluster == SIMULATED else [says(no_container_restarted, "web")]),
        harm=(ReplaceControlPlane,),
    )


@incident(
    "new-control-plane",
    on=("simulated", "kind"),
    needs=(ControlPlaneSwap,),
    controls=("short-timers",),
    promises=promises,
)
def test_a_control_plane_that_kubelets_cannot_reach_deletes_nothing(lab: Lab) -> None:
    """When a second control plane runs on the same etcd and no kubelet reports to it, it MUST NOT mark pods for
    deletion, and MUST NOT have anything for the kubelets to kill when they sync with the first one again.
    """
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    assert isinstance(cluster, ControlPlaneSwap)
    workers = tuple(n.name for n in cluster.nodes() if not n.control_plane)
    web = lab.deploy(Web(replicas=6))
    controllers = EVERYTHING if lab.control == "short-timers" else WITHOUT_NODE_LIFECYCLE
    with lab.record() as history:
        with lab.inject(ReplaceControlPlane(lab.timers, controllers)):
            lab.recorder.switch(cluster.second_api)
            lab.recorder.wait_synced()
            # The second controller manager is new, so no turn is used up: one node is tainted with the first token.
            # Hardened it is the tainting that is kept away: there is no taint to be seen, and only time tells.
            if lab.control:
                lab.hold_until_shown(nothing_terminated(web.name), within_s=hold_limit_s(lab.timers, 1))
            else:
                lab.hold(lab.timers.eviction_deadline_of(1), "past grace period and toleration of the second one")
        lab.recorder.switch(cluster.api)
        lab.recorder.wait_synced()
        lab.recover(
            lambda: lab.nodes_ready() and web.ready(), within_s=DOCUMENTED_WITHIN_S, what="every node and replica Ready"
        )
        lab.hold(5, "a kubelet that obeys a deletion does so when it syncs again")
    lab.expect(history, nothing_terminated(web.name), nodes_ready_again(workers, within_s=DOCUMENTED_WITHIN_S))
    if isinstance(cluster, RunsContainers):
        lab.expect(history, no_container_restarted(web.name))
