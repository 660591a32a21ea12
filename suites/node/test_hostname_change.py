"""hostname-change: a worker gets another hostname and its kubelet restarts; later the name is put back."""

from contextlib import ExitStack

from chaos.clusters.abilities import NodeExec, NodeNetwork, RunsContainers
from chaos.clusters.shape import Shape, Timers
from chaos.judge.availability import ECHO, existing_connections, outage_at_most
from chaos.judge.nodes_ready import DOCUMENTED_WITHIN_S, nodes_ready_again, ready_throughout
from chaos.judge.pods import no_container_restarted, nothing_terminated
from chaos.judge.start import new_pods_start
from chaos.record.history import History
from chaos.record.probing import ServiceProbes
from chaos.run.fit import fit_workers
from chaos.run.incident import HARDENED, incident
from chaos.run.lab import Lab
from chaos.run.promised import WORKERS, Conditions, Judged, judged, node_of, says
from chaos.subjects.identity.faults import ANY_NAME, PINNED, RenameNode, SetKubeletIdentity
from chaos.subjects.identity.promises import (
    NEVER_AFTER,
    away_under_another_name,
    first_away,
    one_node_per_machine,
)
from chaos.subjects.identity.sampler import NodeIdentities
from chaos.workloads.pinned import EchoServer
from chaos.workloads.web import Web

NEEDS = (RunsContainers, NodeExec, NodeNetwork)
NEW_NAME = "ordeal-renamed"
NOT_PINNED, FREE = "not-pinned", "free-registration"
REGISTERED_WITHIN_S = 180.0  # the kubelet is restarted, and registers the other name: seconds


def promises_of_pinned(_: Conditions) -> tuple[Judged, ...]:
    """The echo is put on the node that is renamed."""
    return judged(
        says(one_node_per_machine),
        says(ready_throughout, (node_of("echo"),)),
        says(existing_connections, 2.0, nodes=WORKERS),
        says(outage_at_most, 2.0, target="web"),
        says(nothing_terminated, "web"),
        says(no_container_restarted, "web"),
        says(new_pods_start, within_s=60),
        harm=(RenameNode,),
    )


def promises_of_not_pinned(told: Conditions) -> tuple[Judged, ...]:
    return judged(
        says(one_node_per_machine),
        says(away_under_another_name, node_of("echo"), fault=RenameNode.kind, within_s=away_within_s(told.timers)),
        says(existing_connections, 2.0, nodes=WORKERS),
        says(outage_at_most, 2.0, target="web"),
        says(nothing_terminated, "web"),
        says(no_container_restarted, "web"),
        says(nodes_ready_again, (node_of("echo"),), within_s=DOCUMENTED_WITHIN_S),
        says(new_pods_start, within_s=60),
        harm=(RenameNode,),
    )


def away_within_s(timers: Timers) -> float:
    """So long it takes at the most until a node that says nothing is seen to be away."""
    return timers.monitor_grace_s + 2 * timers.monitor_period_s


@incident(
    "hostname-change",
    on=("kind",),
    needs=NEEDS,
    controls=(NOT_PINNED,),
    variant="pinned name",
    faults={HARDENED: (SetKubeletIdentity,)},
    promises=promises_of_pinned,
)
def test_a_pinned_name_outlives_the_hostname(lab: Lab) -> None:
    """When a node's hostname changes and its kubelet, whose name is pinned by --hostname-override, restarts, the node
    MUST stay Ready throughout, no second Node may appear, and pods on the node MUST keep serving.
    """
    history, workers, web = _rename(lab, "" if lab.control == NOT_PINNED else PINNED)
    lab.expect(
        history,
        one_node_per_machine(),
        ready_throughout(workers[:1]),
        existing_connections(2.0, nodes=workers),
        outage_at_most(2.0, target=web),
        nothing_terminated(web),
        no_container_restarted(web),
        new_pods_start(within_s=60),
    )


@incident(
    "hostname-change",
    on=("kind",),
    needs=NEEDS,
    controls=(FREE,),
    variant="name not pinned",
    faults={FREE: (SetKubeletIdentity,)},
    tour=(HARDENED, FREE),
    promises=promises_of_not_pinned,
)
def test_a_kubelet_may_register_no_name_but_its_own(lab: Lab) -> None:
    """When a node's hostname changes and its kubelet, whose name is not pinned, restarts, no second Node of the same
    machine MUST appear, pods on the node MUST keep serving, the failure MUST show, and the node MUST be Ready again
    after the name is put back.
    """
    history, workers, web = _rename(lab, ANY_NAME if lab.control == FREE else "")
    lab.expect(
        history,
        one_node_per_machine(),
        away_under_another_name(workers[0], fault=RenameNode.kind, within_s=away_within_s(lab.timers)),
        existing_connections(2.0, nodes=workers),
        outage_at_most(2.0, target=web),
        nothing_terminated(web),
        no_container_restarted(web),
        nodes_ready_again(workers[:1], within_s=DOCUMENTED_WITHIN_S),
        new_pods_start(within_s=60),
    )


def _rename(lab: Lab, identity: str) -> tuple[History, tuple[str, ...], str]:
    """The story. Returns what was seen, the workers (the renamed one first), the web workload's name."""
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    fit = fit_workers(cluster, least=2)
    workers = tuple(n.name for n in fit)
    worker, address = workers[0], fit[0].address
    # Both keep the pods of a node that is not Ready where they are, and in their Service: whether they serve is the
    # question here, not whether they are evicted (mass-termination).
    assert isinstance(cluster, NodeNetwork)
    assert isinstance(cluster, NodeExec)
    echo = lab.deploy(EchoServer(worker))
    web = lab.deploy(Web(replicas=4, tolerate_for_ever=True, publish_not_ready=True))

    def keep_connections(history: History) -> ServiceProbes:
        """To a pod of the renamed node, from every worker: the Service of both would hide that one half is gone."""
        return ServiceProbes(cluster, history, target=ECHO, url=echo.url, nodes=workers)

    def ask_identities(history: History) -> NodeIdentities:
        return NodeIdentities(history, cluster.api)

    with ExitStack() as set_up:
        if identity:
            set_up.enter_context(lab.configured(SetKubeletIdentity(worker, identity)))
        with lab.record(probe=web, samplers=(keep_connections, ask_identities)) as history:
            with lab.inject(RenameNode(worker, NEW_NAME)):
                if lab.control == FREE:
                    lab.hold_until_shown(one_node_per_machine(), within_s=REGISTERED_WITHIN_S)
                lab.hold_past(away_within_s(lab.timers), "past the grace period", margin_s=2)
                if not identity:  # a busy machine tells it late
                    _hold_until_away(lab, history, worker)
                # A CNI agent that registers nodes by name (flannel's routes follow the Nodes) shows here: what another
                # node sends to this machine. The post-mortem's Calico saw two nodes with one address.
                routes = cluster.node_exec(workers[-1], ["ip", "route"]).out.splitlines()
                lab.fact("pod ranges routed to the renamed machine", sum(f"via {address} " in r for r in routes))
            lab.recover(
                lambda: lab.nodes_ready() and web.ready(), within_s=DOCUMENTED_WITHIN_S, what="every node Ready"
            )
            lab.start_new_pods()
    return history, workers, web.name


def _hold_until_away(lab: Lab, history: History, node: str) -> None:
    def is_away() -> bool:
        window = history.fault_window(RenameNode.kind)
        return window is not None and first_away(history, node, window) is not None

    limit_s = (NEVER_AFTER - 1) * away_within_s(lab.timers)
    lab.hold_until(is_away, within_s=limit_s, because=f"{node} is seen to be away")
