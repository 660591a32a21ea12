"""Faults of a node's programs and pods on a real kind cluster: they land, are undone, also after a killed run."""

import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.basics.waiting import eventually
from chaos.clusters.kind.cluster import KindCluster
from chaos.errors import OrdealError
from chaos.harm.base import registered
from chaos.harm.program import SwapProgram
from chaos.hosts import mutants
from chaos.record.journal import Journal
from chaos.subjects.pleg.faults import DeletePods, StallRuntime
from chaos.subjects.pleg.workload import Churn, check_room, pods_left, scale
from chaos.workloads.web import Deployed, remove_namespace
from tests.comparing import differences, settled, wait_as_before
from tests.integration.crash import kill_and_undo
from tests.integration.harm import done_and_undone
from tests.integration.picture import Picture, picture, unsound
from tests.moments import Moments

NAMESPACE, FEW = "it-churn", 3
KINDS = (SwapProgram.kind, StallRuntime.kind, DeletePods.kind)


@pytest.fixture(scope="module")
def churn(kind_cluster: KindCluster) -> Iterator[Deployed]:
    """A few pods on the last worker."""
    deployed = Churn(kind_cluster.workers[-1], FEW).deploy(kind_cluster, "it", NAMESPACE)
    try:
        scale(deployed, FEW)
        eventually(deployed.ready, within_s=90, what="the pods to be Ready")
        yield deployed
    finally:
        scale(deployed, 0)
        eventually(lambda: pods_left(deployed) == 0, within_s=90, what="the pods to be gone")
        remove_namespace(kind_cluster, NAMESPACE)


def given(cluster: KindCluster, kind: str) -> dict[str, Any]:
    worker = cluster.workers[-1]
    if kind == SwapProgram.kind:
        program = mutants.build("pleg-scaled", cluster.kubernetes, report=print).path
        return {"node": worker, "program": "kubelet", "path": str(program)}
    if kind == DeletePods.kind:
        return {"namespace": NAMESPACE, "workload": "churn"}
    return {"node": worker}


def look(cluster: KindCluster, kind: str) -> Picture:
    """The nodes; without their routes where the pods are other ones afterwards, with addresses of their own."""
    seen = picture(cluster)
    return replace(seen, routes={}) if kind == DeletePods.kind else seen


def as_before(cluster: KindCluster, before: Picture, churn: Deployed, kind: str) -> None:
    eventually(churn.ready, within_s=120, what="the pods to be Ready again")
    wait_as_before(lambda: look(cluster, kind), before)


@pytest.mark.parametrize("kind", KINDS)
def test_lands_and_is_undone(kind_cluster: KindCluster, journal: Journal, churn: Deployed, kind: str) -> None:
    before = settled(lambda: look(kind_cluster, kind), lambda now: unsound(now.ready, now.taints))
    with done_and_undone(registered()[kind](**given(kind_cluster, kind)), kind_cluster, journal):
        harmed = kind == DeletePods.kind or differences(before, look(kind_cluster, kind))
    assert harmed
    as_before(kind_cluster, before, churn, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_is_undone(
    kind_cluster: KindCluster, churn: Deployed, kind: str, moment: int, moments: Moments
) -> None:
    before = settled(lambda: look(kind_cluster, kind), lambda now: unsound(now.ready, now.taints))
    within_s = 15.0 if kind == SwapProgram.kind else 3.0  # putting the program on the node takes a while
    kill_and_undo(kind_cluster, kind, given(kind_cluster, kind), moments, within_s=within_s)
    as_before(kind_cluster, before, churn, kind)


@pytest.fixture(scope="module")
def for_another_machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The head of an ELF file for an s390."""
    path = tmp_path_factory.mktemp("programs") / "kubelet"
    path.write_bytes(b"\x7fELF" + bytes(14) + struct.pack("<H", 22) + bytes(44))
    return path


@pytest.mark.parametrize(
    ("node", "program", "path", "sentence"),
    [
        ("nowhere", "kubelet", "/bin/true", "there is no node nowhere"),
        ("CONTROL-PLANE", "kubelet", "/bin/true", "is a control plane"),
        ("WORKER", "etcd", "/bin/true", "the program 'etcd' can't be swapped"),
        ("WORKER", "kubelet", "/no/such/file", "can't be read"),
        ("WORKER", "kubelet", __file__, "is no Linux program"),
        ("WORKER", "kubelet", "OTHER", "another architecture"),
    ],
)
def test_a_program_that_cannot_take_the_others_place_is_refused(
    kind_cluster: KindCluster, for_another_machine: Path, node: str, program: str, path: str, sentence: str
) -> None:
    names = {"CONTROL-PLANE": kind_cluster.control_plane, "WORKER": kind_cluster.workers[-1]}
    told = str(for_another_machine) if path == "OTHER" else path
    with pytest.raises(OrdealError, match=sentence):
        SwapProgram(names.get(node, node), program, told).plan(kind_cluster)


@pytest.mark.parametrize(("node", "sentence"), [("nowhere", "there is no node"), ("CONTROL-PLANE", "a control plane")])
def test_a_runtime_that_cannot_be_stalled_is_refused(kind_cluster: KindCluster, node: str, sentence: str) -> None:
    with pytest.raises(OrdealError, match=sentence):
        StallRuntime({"CONTROL-PLANE": kind_cluster.control_plane}.get(node, node)).plan(kind_cluster)


def test_more_pods_than_max_pods_are_refused(kind_cluster: KindCluster) -> None:
    with pytest.raises(OrdealError, match=r"700 pods don't fit .* its maxPods is 600"):
        check_room(kind_cluster, kind_cluster.workers[-1], 700)
