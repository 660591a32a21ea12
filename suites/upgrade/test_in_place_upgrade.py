"""in-place-upgrade: a cluster that serves is upgraded node by node, and the control plane's node dies in the middle."""

from chaos.clusters.abilities import BringsVersions, NodeExec, NodeNetwork, NodePower, RunsContainers
from chaos.clusters.base import EXISTING
from chaos.clusters.shape import Shape
from chaos.errors import OrdealError
from chaos.harm.node import PowerOff
from chaos.hosts.image import list_images
from chaos.judge.availability import outage_at_most
from chaos.judge.nodes_ready import DOCUMENTED_WITHIN_S, nodes_ready_again
from chaos.judge.start import new_pods_start
from chaos.record.history import History
from chaos.run.incident import Load, incident
from chaos.run.lab import Lab
from chaos.run.promised import NODES, Conditions, Judged, Seen, judged, says
from chaos.run.stage import LacksAbilityError
from chaos.subjects.upgrade.kubeadm import NEVER, Upgrade, path
from chaos.subjects.upgrade.promises import (
    nodes_upgraded,
    only_drained_pods_evicted,
    pods_run_throughout,
    upgrade_resumed,
)
from chaos.subjects.upgrade.records import ApplyBegun
from chaos.subjects.upgrade.workload import NAME as JOBS
from chaos.subjects.upgrade.workload import Jobs
from chaos.workloads.web import Web

NEEDS = (RunsContainers, NodeExec, NodePower, NodeNetwork, BringsVersions)
STEPS = {"smoke": 1, "full": 2}
# Which component kubeadm has just replaced when the node dies: another one at each step.
CUT_SHORT_AT = ("kube-apiserver", "kube-controller-manager")
DEAD_FOR_S = 5.0
MANIFEST_WITHIN_S = 240.0
READY_WITHIN_S = 60.0  # with its new kubelet, after that was started
# A pod asked for while the one API server is away waits for it. So long kubeadm waits for a component that it replaced
# (timeouts.upgradeManifests of kubeadm.k8s.io/v1beta4), and kubeadm gives up where that is not enough.
RAN_WITHIN_S = 300.0


def promises(told: Conditions) -> tuple[Judged, ...]:
    versions = Seen("the versions of the upgrade", lambda h, value: are_its_versions(h, value, told.profile.name))
    return judged(
        says(outage_at_most, 2.0),
        says(only_drained_pods_evicted, apart=(JOBS, "starter")),
        says(nodes_upgraded, NODES, versions, within_s=READY_WITHIN_S),
        says(nodes_ready_again, NODES, within_s=DOCUMENTED_WITHIN_S, fault=PowerOff.kind),
        says(upgrade_resumed, versions, fault=PowerOff.kind),
        says(pods_run_throughout, within_s=RAN_WITHIN_S),
        says(new_pods_start, within_s=60),
        harm=(PowerOff,),
    )


def are_its_versions(history: History, value: object, profile: str) -> bool:
    """All that were begun, in that order; one that was not reached may come after them."""
    begun = list(dict.fromkeys(each.to for each in history.of(ApplyBegun)))
    if not isinstance(value, list) or not begun:
        return False
    return value[: len(begun)] == begun and len(value) <= STEPS[profile]


@incident(
    "in-place-upgrade",
    on=("kind",),
    needs=NEEDS,
    controls=("no-drain-order",),
    load=Load.WORKS,
    promises=promises,
)
def test_a_cluster_is_upgraded_while_it_serves(lab: Lab) -> None:
    """When a cluster is upgraded in place, node by node, and the control plane's node dies in the middle, workloads
    MUST serve, only pods of drained nodes MUST be evicted, each node MUST be Ready again in time with its new kubelet,
    pods that are asked for MUST run, and the upgrade MUST be resumed by running it again.
    """
    if lab.cluster_kind == EXISTING:  # before this machine's engine is asked for images: it need not have one
        raise LacksAbilityError(
            "an upgrade can't be taken back, so it takes a cluster of its own; own-upgrade has yours"
        )
    versions = _versions(lab, lab.stage.kubernetes)
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    if cluster.kubernetes != lab.stage.kubernetes:  # the user named a node image of another version
        versions = _versions(lab, cluster.kubernetes)
    lab.change_for_good(f"{cluster.ref.name} is upgraded from {cluster.kubernetes} to {versions[-1]}", versions[-1])
    assert isinstance(cluster, NodeExec)
    assert isinstance(cluster, BringsVersions)
    lab.fact("upgrade", " -> ".join((cluster.kubernetes, *versions)))
    lab.phase("bring", f"the programs and images of {', '.join(versions)} to every node")
    programs = {version: cluster.bring_version(version) for version in versions}
    nodes = tuple(n.name for n in cluster.nodes())
    in_order = lab.control != "no-drain-order"
    web = lab.deploy(Web(replicas=4, at_least=2) if in_order else Web(replicas=1))
    jobs = (lambda history: Jobs(history, cluster, within_s=RAN_WITHIN_S),)
    with lab.record(probe=web, samplers=jobs) as history:
        for number, version in enumerate(versions):
            step = Upgrade(cluster, history, version, programs[version])
            step.prepare()
            if not _upgrade_control_plane(lab, step, cut_short_at=CUT_SHORT_AT[number % len(CUT_SHORT_AT)]):
                break  # an upgrade that can't be resumed goes no further; what was promised is judged
            for together in [(node,) for node in step.workers] if in_order else [step.workers]:
                _upgrade_nodes(lab, step, *together)
        lab.recover(
            lambda: lab.nodes_ready() and web.ready(), within_s=READY_WITHIN_S, what="every node and replica Ready"
        )
        lab.start_new_pods()
    lab.expect(
        history,
        outage_at_most(2.0),
        only_drained_pods_evicted(apart=(JOBS, "starter")),
        nodes_upgraded(nodes, versions, within_s=READY_WITHIN_S),
        nodes_ready_again(nodes, within_s=DOCUMENTED_WITHIN_S, fault=PowerOff.kind),
        upgrade_resumed(versions, fault=PowerOff.kind),
        pods_run_throughout(within_s=RAN_WITHIN_S),
        new_pods_start(within_s=60),
    )


def _versions(lab: Lab, start: str) -> tuple[str, ...]:
    """The versions that the upgrade from `start` goes through.

    Raises LacksAbilityError where the user asked for none, or for nothing and none is built; OrdealError where the one
    that was asked for can't be reached.
    """
    if lab.means.upgrade_to == NEVER:
        raise LacksAbilityError(f"--ordeal-upgrade-to {NEVER}: no upgrade was asked for")
    built = [image.kubernetes for image in list_images() if not image.components]
    try:
        return path(start, built, to=lab.means.upgrade_to, most=STEPS[lab.profile.name])
    except OrdealError as error:
        if lab.means.upgrade_to:
            raise
        raise LacksAbilityError(str(error)) from None


def _upgrade_control_plane(lab: Lab, step: Upgrade, *, cut_short_at: str) -> bool:
    """`kubeadm upgrade apply`, cut short by the node's death, and once more; then the node's own kubelet.

    False where the second try did not succeed.
    """
    node = step.control_plane
    lab.phase("upgrade", f"kubeadm upgrade apply v{step.version} on {node}")
    first = step.begin_apply()
    first.wait_for_manifest(cut_short_at, within_s=MANIFEST_WITHIN_S)
    with lab.inject(PowerOff(node), nodes=(node,)):
        lab.hold(DEAD_FOR_S, f"{node} died when kubeadm had just replaced {cut_short_at}")
    first.wait()
    lab.recover(
        lambda: lab.nodes_ready() and lab.kubelets_report(), within_s=DOCUMENTED_WITHIN_S, what="every kubelet in touch"
    )
    lab.phase("upgrade", f"kubeadm upgrade apply v{step.version} on {node} once more")
    if not step.begin_apply().wait():
        return False
    step.note_control_plane()
    _upgrade_nodes(lab, step, node)
    return True


def _upgrade_nodes(lab: Lab, step: Upgrade, *nodes: str) -> None:
    """Drain, upgrade and let them take pods again: one of them in an order, all of them at once without one."""
    which = ", ".join(nodes)
    lab.phase("drain", which)
    step.drain(*nodes)
    lab.phase("upgrade", f"the kubelet of {which}")
    for node in nodes:
        step.upgrade_node(node)
    lab.recover(lambda: step.upgraded(*nodes), within_s=2 * READY_WITHIN_S, what=f"{which} Ready with the new kubelet")
    step.uncordon(*nodes)
