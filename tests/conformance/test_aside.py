"""Nodes that somebody has set aside keep no spec waiting, and nothing is said of a cluster that has none."""

from chaos.clusters.base import Node
from chaos.conformance.aside import CONTROL_PLANE, flags, told


def node(name: str, *taints: str, ready: str = "True") -> Node:
    return Node(name, control_plane=False, ready=ready, address="", zone="", taints=taints)


USUAL = (node("cp", f"{CONTROL_PLANE}:NoSchedule"), node("w1"))


def test_a_usual_cluster_needs_no_flag() -> None:
    assert flags(USUAL) == ()
    assert told(USUAL) == ""


def test_a_teams_own_taint_and_a_cordoned_node_do_not_count_and_a_preference_is_none() -> None:
    nodes = (
        *USUAL,
        node("w2", "dedicated:NoSchedule"),
        node("w3", "node.kubernetes.io/unschedulable:NoSchedule"),
        node("w4", "spot:PreferNoSchedule"),
    )
    assert flags(nodes) == (f"--non-blocking-taints=dedicated,{CONTROL_PLANE},node.kubernetes.io/unschedulable",)
    assert told(nodes) == (
        "w2 has the taint dedicated:NoSchedule; w3 has the taint node.kubernetes.io/unschedulable:NoSchedule"
    )


def test_so_many_may_be_not_ready_whatever_their_taints_are() -> None:
    nodes = (*USUAL, node("w2", "node.kubernetes.io/unreachable:NoExecute", ready="Unknown"), node("w3", ready="False"))
    assert flags(nodes) == ("--allowed-not-ready-nodes=2",)
    assert told(nodes) == "w2 is not Ready; w3 is not Ready"
