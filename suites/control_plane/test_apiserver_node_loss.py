"""apiserver-node-loss: the control-plane node's power goes, stays away past the deadline, and comes back."""

from contextlib import ExitStack

from chaos.clusters.abilities import NodeAddresses, NodeExec, NodeNetwork, NodePower, RunsContainers
from chaos.clusters.base import Cluster
from chaos.clusters.shape import Shape
from chaos.errors import OrdealError
from chaos.harm.node import PowerOff
from chaos.harm.program import SwapProgram
from chaos.hosts import mutants
from chaos.judge.availability import outage_at_most
from chaos.judge.heartbeats import kubelets_report_again
from chaos.judge.nodes_ready import DOCUMENTED_WITHIN_S, nodes_ready_again
from chaos.judge.pods import no_container_restarted, nothing_terminated
from chaos.judge.start import new_pods_start
from chaos.report.mutants import killed_row
from chaos.run.fit import fit_nodes, fit_workers
from chaos.run.incident import incident
from chaos.run.lab import Lab
from chaos.run.promised import NODES, Conditions, Judged, judged, says
from chaos.subjects.control_plane.faults import PinKubelets
from chaos.workloads.web import Web

REPORT_WITHIN_S = 60.0
NEEDS = (RunsContainers, NodePower, NodeNetwork, NodeExec)
STALE = "stale-connections"  # the control has the mutant's name


def promises(_: Conditions) -> tuple[Judged, ...]:
    return judged(
        says(nothing_terminated, "web"),
        says(no_container_restarted, "web"),
        says(outage_at_most, 2.0),
        says(kubelets_report_again, NODES, within_s=REPORT_WITHIN_S),
        says(nodes_ready_again, NODES, within_s=DOCUMENTED_WITHIN_S),
        says(new_pods_start, within_s=60),
        harm=(PowerOff,),
    )


@incident("apiserver-node-loss", on=("kind",), needs=NEEDS, variant="same address", promises=promises)
def test_the_control_plane_comes_back_at_its_address(lab: Lab) -> None:
    """When the control-plane node is killed and comes back, workloads MUST have served all the time, nothing MUST be
    deleted or restarted, every node MUST be Ready again and a new pod MUST be able to start.
    """
    _lose_the_control_plane(lab, lab.cluster(Shape(workers=2, timers=lab.timers)), new_address=False)


@incident(
    "apiserver-node-loss",
    on=("kind",),
    needs=(*NEEDS, NodeAddresses),
    controls=("pinned-address", STALE),
    variant="new address",
    mutants={STALE: (STALE,)},
    faults={"pinned-address": (PinKubelets,), STALE: (SwapProgram,)},
    promises=promises,
)
def test_the_control_plane_comes_back_at_another_address(lab: Lab) -> None:
    """When the control-plane node is killed and comes back with another IP address, the same MUST hold."""
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    workers = tuple(n.name for n in fit_workers(cluster))
    with ExitStack() as configured:
        if lab.control == "pinned-address":
            configured.enter_context(lab.configured(PinKubelets(workers)))
        if lab.control == STALE:
            program = lab.mutant(STALE)
            configured.enter_context(lab.configured(SwapProgram(workers[0], "kubelet", str(program.path))))
        _lose_the_control_plane(lab, cluster, new_address=True)
    if lab.control == STALE:
        lab.table("mutants", [killed_row(mutants.find(STALE), lab.findings)])


def _lose_the_control_plane(lab: Lab, cluster: Cluster, *, new_address: bool) -> None:
    control_plane = next(n.name for n in cluster.nodes() if n.control_plane)
    names = tuple(n.name for n in fit_nodes(cluster))
    address = _address(cluster, control_plane)
    web = lab.deploy(Web(replicas=6))
    with lab.record(probe=web) as history:
        with lab.inject(PowerOff(control_plane, new_address=new_address)):
            # The controller manager is away too: nobody taints meanwhile, and no turn has to be waited for. It comes
            # back to nodes whose grace period is over, and so is the toleration since.
            lab.hold_past(lab.timers.eviction_deadline_s, "past grace period and toleration")
        recovered = lab.recover(
            lambda: lab.nodes_ready() and lab.kubelets_report() and web.ready(),
            within_s=REPORT_WITHIN_S + 5,
            what="every node and replica Ready, every kubelet in touch",
        )
        now = _address(cluster, control_plane) if recovered or isinstance(cluster, NodeAddresses) else ""
        if now and (now == address) is new_address:
            raise OrdealError(f"{control_plane} came back at {now}, it was {address}")
        lab.start_new_pods()
    lab.expect(
        history,
        nothing_terminated(web.name),
        no_container_restarted(web.name),
        outage_at_most(2.0),
        kubelets_report_again(names, within_s=REPORT_WITHIN_S),
        nodes_ready_again(names, within_s=DOCUMENTED_WITHIN_S),
        new_pods_start(within_s=60),
    )


def _address(cluster: Cluster, node: str) -> str:
    """As what is beneath the node says, where that can be asked; else as the API server does."""
    if isinstance(cluster, NodeAddresses):
        return cluster.address(node)
    return next(each.address for each in cluster.nodes() if each.name == node)
