"""Faults of handles and names on a real kind cluster: each lands, is undone, and a killed run leaves nothing behind."""

from typing import Any

import pytest

from chaos.basics.waiting import eventually
from chaos.clusters.kind.cluster import KindCluster
from chaos.errors import OrdealError
from chaos.harm.base import inject, registered
from chaos.record.history import History
from chaos.record.journal import Journal
from chaos.subjects.handles.faults import EatHandles, LowerHandleLimit
from chaos.subjects.handles.sampler import processes_of
from chaos.subjects.handles.storm import SocketStorm
from chaos.subjects.identity.faults import ANY_NAME, PINNED, RenameNode, SetKubeletIdentity
from tests.comparing import wait_as_before
from tests.integration.crash import kill_and_undo
from tests.integration.harm import done_and_undone
from tests.integration.picture import Picture, picture, picture_of_still, wait_in_touch
from tests.moments import Moments

NEW_NAME = "ordeal-renamed"


def cases(cluster: KindCluster) -> dict[str, tuple[str, dict[str, Any]]]:
    worker = cluster.workers[0]
    address = cluster.addresses(worker)[0]
    return {
        "rename": (RenameNode.kind, {"node": worker, "name": NEW_NAME}),
        "pinned": (SetKubeletIdentity.kind, {"node": worker, "identity": PINNED}),
        "any name": (SetKubeletIdentity.kind, {"node": worker, "identity": ANY_NAME}),
        "limit": (LowerHandleLimit.kind, {"node": worker, "daemon": "containerd", "limit": 1024}),
        "eat of containerd": (EatHandles.kind, {"node": worker, "handles": 1100, "of": "containerd"}),
        "eat in a pod": (EatHandles.kind, {"node": worker, "handles": 500}),
        "storm": (SocketStorm.kind, {"node": worker, "target": f"{address}:10256", "connections": 2000}),
    }


SECOND_CASE = pytest.mark.nightly("a second case of a fault of which one case is tried")
CASES = (
    "rename",
    "pinned",
    pytest.param("any name", marks=SECOND_CASE),
    "limit",
    pytest.param("eat of containerd", marks=SECOND_CASE),
    "eat in a pod",
    "storm",
)


def as_before(cluster: KindCluster, before: Picture, kind: str) -> None:
    if kind in {RenameNode.kind, SetKubeletIdentity.kind}:  # the kubelet was restarted
        wait_in_touch(cluster)
    wait_as_before(lambda: picture(cluster), before)


@pytest.mark.parametrize("case", CASES)
def test_lands_and_is_undone(kind_cluster: KindCluster, journal: Journal, case: str) -> None:
    before = picture_of_still(kind_cluster)
    kind, given = cases(kind_cluster)[case]
    with done_and_undone(registered()[kind](**given), kind_cluster, journal):
        pass
    as_before(kind_cluster, before, kind)


@pytest.mark.parametrize("case", CASES)
def test_a_killed_run_is_undone(kind_cluster: KindCluster, case: str, moment: int, moments: Moments) -> None:
    before = picture_of_still(kind_cluster)
    kind, given = cases(kind_cluster)[case]
    kill_and_undo(kind_cluster, kind, given, moments)
    as_before(kind_cluster, before, kind)


@pytest.mark.nightly("two faults at once: the CNI agent writes the second Node's addresses meanwhile, or not")
def test_the_second_node_of_a_killed_run_is_deleted(
    kind_cluster: KindCluster, journal: Journal, moment: int, moments: Moments
) -> None:
    """The kubelet registers the new name meanwhile, and the CNI agent writes that Node's addresses."""
    before = picture_of_still(kind_cluster)
    worker = kind_cluster.workers[0]
    with inject(SetKubeletIdentity(worker, ANY_NAME), kind_cluster, journal, History()):
        kind, given = cases(kind_cluster)["rename"]
        kill_and_undo(kind_cluster, kind, given, moments, within_s=10.0)
        assert NEW_NAME not in {n.name for n in kind_cluster.nodes()}
    as_before(kind_cluster, before, kind)
    assert {n.name for n in kind_cluster.nodes()} == set(before.ready)


def test_what_was_started_under_the_limit_gets_its_own_back(kind_cluster: KindCluster, journal: Journal) -> None:
    """A runtime may hand its limit down to the shims that it starts. That of Debian does not (its shims raise their own
    soft limit, as programs of Go 1.19 do), so the new shim is given the low one here.
    """
    worker, shim = kind_cluster.workers[0], "containerd-shim-runc-v2"
    before = {(p.pid, p.start) for p in processes_of(kind_cluster, worker, [shim])}
    eater = EatHandles(worker, 500)
    saved = eater.plan(kind_cluster)
    try:
        with inject(LowerHandleLimit(worker, "containerd", limit=1024), kind_cluster, journal, History()):
            eater.apply(kind_cluster, saved)
            eventually(lambda: eater.landed(kind_cluster, saved), within_s=60, what="a pod to run")
            new = [p for p in processes_of(kind_cluster, worker, [shim]) if (p.pid, p.start) not in before]
            assert new
            for p in new:
                kind_cluster.node_exec(worker, ["prlimit", "--pid", str(p.pid), "--nofile=1024:"])
            assert 1024 in {p.soft for p in processes_of(kind_cluster, worker, [shim])}
        assert 1024 not in {p.soft for p in processes_of(kind_cluster, worker, [shim])}
    finally:
        EatHandles.undo(kind_cluster, saved)
        eventually(lambda: EatHandles.undone(kind_cluster, saved), within_s=60, what="the pod to be gone")


@pytest.mark.parametrize(
    ("kind", "given", "sentence"),
    [
        (RenameNode.kind, {"node": "nowhere", "name": "x"}, "there is no node nowhere"),
        (RenameNode.kind, {"node": "CONTROL-PLANE", "name": "x"}, "is a control plane"),
        (RenameNode.kind, {"node": "WORKER", "name": "Not_A_Name"}, "can't be a node's hostname"),
        (RenameNode.kind, {"node": "WORKER", "name": "WORKER2"}, "already"),
        (SetKubeletIdentity.kind, {"node": "WORKER", "identity": "none"}, "can be pinned or any-name"),
        (LowerHandleLimit.kind, {"node": "WORKER", "daemon": "etcd"}, "no daemon whose handles"),
        (LowerHandleLimit.kind, {"node": "WORKER", "daemon": "kubelet", "limit": 10**9}, "the hard limit"),
        (LowerHandleLimit.kind, {"node": "WORKER", "daemon": "kubelet", "limit": 3}, "can't be set"),
        (EatHandles.kind, {"node": "WORKER", "handles": 0}, "can't be eaten"),
        (SocketStorm.kind, {"node": "WORKER", "target": "192.0.2.1:80"}, "no address of a pod or node"),
        (SocketStorm.kind, {"node": "WORKER", "target": "here"}, "must be ADDRESS:PORT"),
        (SocketStorm.kind, {"node": "WORKER", "target": "192.0.2.1:80", "connections": 10**6}, "1 to"),
    ],
)
def test_bad_input_is_refused_before_any_harm(
    kind_cluster: KindCluster, kind: str, given: dict[str, Any], sentence: str
) -> None:
    names = {"WORKER": kind_cluster.workers[0], "WORKER2": kind_cluster.workers[1]}
    names["CONTROL-PLANE"] = kind_cluster.control_plane
    told = {key: names.get(value, value) if isinstance(value, str) else value for key, value in given.items()}
    with pytest.raises(OrdealError, match=sentence):
        registered()[kind](**told).plan(kind_cluster)
