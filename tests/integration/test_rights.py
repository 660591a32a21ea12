"""A real API server that knows a run by a service account with the rights of manifests/rights and no others: with all
of them a run does what it does, and each one that is taken away is told in one sentence, before harm or as a gap.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client as k8s
from kubernetes.client import ApiClient, ApiException

from chaos.basics.waiting import eventually
from chaos.clusters.base import SIMULATED
from chaos.clusters.existing import cluster as existing
from chaos.clusters.existing.cluster import ExistingCluster
from chaos.clusters.existing.rights import AGENTS, EVERY_RUN, Role, roles
from chaos.clusters.shape import Shape, Timers, Zone
from chaos.clusters.way.client import FAILURES, Access, told
from chaos.clusters.way.podexec import exec_in_pod
from chaos.errors import OrdealError
from chaos.judge.base import Verdict, judge
from chaos.judge.nodes_ready import nodes_ready_again
from chaos.record import evidence
from chaos.record.history import History
from chaos.record.recorder import Recorder
from chaos.record.records import IN_SYNC, Blind, FaultStep, Sample
from chaos.run.claim import Claim
from chaos.run.guard import Guard, RefusedError, write
from chaos.run.policy import Policy
from chaos.run.pool import Pool
from chaos.subjects.volumes.workload import check_class
from chaos.workloads.base import create, creating
from chaos.workloads.web import Web, remove_namespace
from tests.integration.as_runner import apply, documents, kubeconfig_of_runner, without

ROOT = Path(__file__).parents[2]
SHAPE = Shape(zones=(Zone("a", 2),), timers=Timers(monitor_grace_s=8, monitor_period_s=1, toleration_s=3))
SUITE = """
from chaos.clusters.shape import Shape
from chaos.harm.drain import DrainNode
from chaos.judge.nodes_ready import nodes_ready_again
from chaos.run.incident import incident
from chaos.workloads.web import Web


@incident("rwo-volume-handover", on=("kind",))
def test_a_drain(lab):
    lab.cluster(Shape(timers=lab.timers))
    node = lab.deploy(Web(replicas=2)).pods()[0].spec.node_name
    with lab.record() as history:
        with lab.inject(DrainNode(node)):
            lab.hold(0.5, "it is drained")
        lab.recover(lab.nodes_ready, within_s=60.0, what="every node Ready")
    lab.expect(history, nodes_ready_again((node,), within_s=60.0))
"""
SAVED = {"namespace": "ordeal-made-up"}  # a plan that the guard allows

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Theirs:
    """The cluster: as its owner has it, and as a run does."""

    admin: Path
    runner: Path

    def owner(self) -> ApiClient:
        return Access(self.admin).client()

    def as_run(self) -> ApiClient:
        return Access(self.runner).client()

    def cluster(self) -> ExistingCluster:
        return existing.attach_by_api(self.runner, "", SHAPE, "busybox")

    def replay(self, folder: Path) -> tuple[int, str]:
        """A run of pytest's, of SUITE: its exit code, and what it said."""
        suite = folder / "test_suite.py"
        suite.write_text(SUITE)
        where = ["--ordeal-cluster", "existing", "--ordeal-kubeconfig", str(self.runner)]
        how = ["--ordeal-busybox-image", "busybox", "--ordeal-conform", "none", "-p", "no:cacheprovider", "-rs"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", str(suite), *where, *how, "--ordeal-results", str(folder / "results")],
            cwd=ROOT,
            env={**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock", "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        said = done.stdout + done.stderr
        assert "Traceback" not in said
        return done.returncode, said


@pytest.fixture(scope="module")
def theirs(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Theirs:
    admin = Path(pool.acquire(SIMULATED, SHAPE).ref.kubeconfig)
    owner = Access(admin).client
    apply(owner, documents())
    write(owner, Policy(nodes="", most_nodes="100%"), replace=False)
    return Theirs(admin, kubeconfig_of_runner(admin, tmp_path_factory.mktemp("rights")))


# --- with all of them


def test_the_steps_of_a_run_need_no_more(theirs: Theirs, tmp_path: Path) -> None:
    existing.check(theirs.runner, "", agents=True)
    cluster, history = theirs.cluster(), History()
    guarding = Guard(theirs.as_run)
    with Claim(theirs.as_run, "it"), Recorder(history, theirs.as_run):
        assert guarding.allowed()
        deployed = Web(replicas=2).deploy(cluster, "it", "ordeal-rights-web")
        with guarding.harming("mass-termination", "drain-node", SAVED):
            pieces = evidence.collect(cluster, (), tmp_path)
        deployed.roll_out(within_s=60)
        remove_namespace(cluster, deployed.namespace)
    assert [piece.missing for piece in pieces if piece.missing] == []
    assert {each.value for each in history.of(Sample) if each.name == IN_SYNC} == {1.0}


def test_a_replay_is_held(theirs: Theirs, tmp_path: Path) -> None:
    code, said = theirs.replay(tmp_path)
    assert code == 0, said[-3000:]
    assert found(tmp_path) == ("held", [])


def found(folder: Path) -> tuple[str, list[str]]:
    """The verdict, and why there is no evidence of something, as the results have it."""
    (incident,) = json.loads((folder / "results" / "latest" / "results.json").read_text())["incidents"]
    return incident["verdict"], [each["missing"] for each in incident["evidence"] if each.get("missing")]


# --- a replay without one of them


def test_what_every_run_needs_keeps_a_run_from_beginning(theirs: Theirs, tmp_path: Path) -> None:
    with without(theirs.owner, theirs.runner, "watch", "", "events"):
        code, said = theirs.replay(tmp_path)
    assert code == 2, said[-3000:]
    assert said.count("the kubeconfig's user may not watch events (in all namespaces), on the cluster at") == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(("verb", "resource"), [("patch", "nodes"), ("create", "pods/eviction")])
def test_what_a_fault_needs_keeps_it_from_being_done(theirs: Theirs, verb: str, resource: str, tmp_path: Path) -> None:
    with without(theirs.owner, theirs.runner, verb, "", resource):
        code, said = theirs.replay(tmp_path)
    assert code == 0, said[-3000:]
    assert f"drain-node is not done: the kubeconfig's user may not {verb} {resource} (in all namespaces)" in said
    assert "1 skipped" in said


def test_what_evidence_needs_is_missing_from_it(theirs: Theirs, tmp_path: Path) -> None:
    with without(theirs.owner, theirs.runner, "list", "", "persistentvolumes"):
        code, said = theirs.replay(tmp_path)
    assert code == 0, said[-3000:]
    verdict, (why,) = found(tmp_path)
    assert verdict == "held"
    assert 'cannot list resource "persistentvolumes"' in why


# --- without one of them


POD: Any = {"metadata": {"name": "made-up"}, "spec": {"containers": [{"name": "x", "image": "busybox"}]}}


def of(name: str) -> Any:
    return {**POD, "metadata": {"name": name}}


def space(name: str) -> Any:
    return {"metadata": {"name": name}}


DAEMON_SET: Any = {
    "metadata": {"name": "made-up"},
    "spec": {
        "selector": {"matchLabels": {"of": "made-up"}},
        "template": {"metadata": {"labels": {"of": "made-up"}}, "spec": POD["spec"]},
    },
}
BODIES: dict[str, Any] = {
    "Namespace": {"apiVersion": "v1"},
    "ConfigMap": {"apiVersion": "v1"},
    "PersistentVolumeClaim": {"apiVersion": "v1", "spec": {}},
    "Deployment": {"apiVersion": "apps/v1", "spec": DAEMON_SET["spec"]},
    "DaemonSet": {"apiVersion": "apps/v1", "spec": DAEMON_SET["spec"]},
    "StatefulSet": {"apiVersion": "apps/v1", "spec": {**DAEMON_SET["spec"], "serviceName": "made-up"}},
}


EACH = sorted({(right.verb, right.group, right.resource) for role in roles() for right in role.rights})


def needing(each: tuple[str, str, str]) -> tuple[Role, ...]:
    return tuple(role for role in roles() if any((r.verb, r.group, r.resource) == each for r in role.rights))


@pytest.mark.parametrize("each", EACH, ids=lambda each: f"{each[0]} {each[2]}")
def test_a_right_that_lacks_is_told_by_all_that_needs_it(
    theirs: Theirs, each: tuple[str, str, str], tmp_path: Path
) -> None:
    verb, group, resource = each
    needed = needing(each)
    with without(theirs.owner, theirs.runner, verb, group, resource):
        if any(role.needed in {EVERY_RUN, AGENTS} for role in needed):
            told_of(f"{verb} {resource}", lambda: existing.check(theirs.runner, "", agents=True))
        else:
            existing.check(theirs.runner, "", agents=True)
            for fault in sorted(fault for role in needed for fault in role.faults):
                told_of(f"{verb} {resource}", partial(harm, theirs, fault), RefusedError)
        if (use := USES.get(each)) is not None:
            told_of(f'cannot {verb} resource "{resource}"', lambda: use(theirs))
        if any(role.needed == "evidence" for role in needed):
            pieces = evidence.collect(theirs.cluster(), (), tmp_path)
            assert [f'cannot {verb} resource "{resource}"' in piece.missing for piece in pieces].count(True) == 1
            assert [piece.name for piece in pieces if piece.path], "all else is there"


def told_of(words: str, do: Callable[[], object], kind: type[Exception] | None = None) -> None:
    with pytest.raises(kind or FAILURES) as refused:
        do()
    said = told(refused.value)
    assert words in said
    assert "\n" not in said


def harm(theirs: Theirs, fault: str) -> None:
    with Guard(theirs.as_run).harming("mass-termination", fault, SAVED):
        pytest.fail("it was begun")


def make(kind: str) -> Callable[[Theirs], None]:
    """As a workload does that has one."""

    def made(theirs: Theirs) -> None:
        body = {"kind": kind, "metadata": {"name": "made-up", "namespace": "default"}, **BODIES[kind]}
        with creating("made-up", theirs.cluster()), theirs.as_run() as client:
            create(client, yaml.safe_dump(body))

    return made


def take(theirs: Theirs) -> None:
    with Claim(theirs.as_run, "it"):
        pass


def take_over(theirs: Theirs) -> None:
    """From a run that has left its claim."""
    with theirs.owner() as client:
        body: Any = {"metadata": {"name": "kube-ordeal"}, "spec": {}}
        leases = k8s.CoordinationV1Api(client)
        leases.create_namespaced_lease("kube-system", body)
        try:
            take(theirs)
        finally:
            with suppress(ApiException):  # given back
                leases.delete_namespaced_lease("kube-ordeal", "kube-system")


def run_in_pod(theirs: Theirs) -> None:
    with theirs.as_run() as client:
        exec_in_pod(client, "default", "made-up", ["true"])


# What comes to it where nobody has asked beforehand, or a right is taken away in the middle.
USES: dict[tuple[str, str, str], Callable[[Theirs], object]] = {
    ("create", "apps", "deployments"): make("Deployment"),
    ("create", "apps", "statefulsets"): make("StatefulSet"),
    ("create", "apps", "daemonsets"): make("DaemonSet"),
    ("create", "", "configmaps"): make("ConfigMap"),
    ("create", "", "namespaces"): make("Namespace"),
    ("create", "", "persistentvolumeclaims"): make("PersistentVolumeClaim"),
    ("delete", "", "namespaces"): lambda theirs: remove_namespace(theirs.cluster(), "made-up"),
    ("get", "", "pods/exec"): run_in_pod,
    ("list", "storage.k8s.io", "storageclasses"): lambda theirs: check_class(theirs.cluster(), "fast"),
    ("get", "", "configmaps"): lambda theirs: Guard(theirs.as_run).require(),
    ("list", "", "nodes"): lambda theirs: Guard(theirs.as_run).allowed(),
    ("get", "coordination.k8s.io", "leases"): take,
    ("create", "coordination.k8s.io", "leases"): take,
    ("update", "coordination.k8s.io", "leases"): take_over,
}


def test_what_is_lost_in_the_middle_is_a_gap_and_nothing_is_held(
    theirs: Theirs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch that goes on is not ended by it; the next one is not begun."""
    monkeypatch.setattr(Recorder.catch_up, "__defaults__", (3.0,))
    history, nodes = History(), tuple(each.name for each in theirs.cluster().nodes())
    with ExitStack() as lost, Recorder(history, theirs.as_run) as recording:
        lost.enter_context(without(theirs.owner, theirs.runner, "watch", "", "nodes"))
        recording.switch(theirs.as_run)
        for step in ("applied", "landed", "undoing", "undone"):
            history.add(FaultStep(history.now(), "made-up", step))
    assert [each.source for each in history.of(Blind) if not each.complete] == ["watch:nodes"]
    found = judge(nodes_ready_again(nodes, within_s=60.0), history)
    assert found.verdict is Verdict.UNKNOWN, found


# --- the fence

FENCE = "ValidatingAdmissionPolicy 'kube-ordeal-runner'"


@pytest.fixture(scope="module")
def fenced(theirs: Theirs) -> Theirs:
    """The policy is read by the API server some time after it was written."""
    apply(theirs.owner, documents("fence.yaml"))

    def is_up() -> bool:
        with theirs.as_run() as client:
            try:
                core(client).create_namespace(space("shop"), dry_run="All")
            except ApiException as error:
                return FENCE in told(error)
        return False

    eventually(is_up, within_s=60, what="the fence to be up")
    return theirs


def core(client: ApiClient) -> Any:
    return k8s.CoreV1Api(client)


def label_a_node(client: ApiClient) -> None:
    name = core(client).list_node().items[0].metadata.name
    core(client).patch_node(name, {"metadata": {"labels": {"fenced": "no"}}})


def claim_something_else(client: ApiClient) -> None:
    leases: Any = k8s.CoordinationV1Api(client)
    leases.create_namespaced_lease("kube-system", {"metadata": {"name": "made-up"}})


Do = Callable[[ApiClient], object]
FENCED: dict[str, tuple[bool, Do]] = {
    "a namespace": (False, lambda c: core(c).create_namespace(space("shop"))),
    "a namespace of its own": (True, lambda c: core(c).create_namespace(space("ordeal-fence"))),
    "a namespace for agents": (True, lambda c: core(c).create_namespace(space("kube-ordeal-agent-fence"))),
    "a pod beside the control plane's": (False, lambda c: core(c).create_namespaced_pod("kube-system", POD)),
    "a pod among others'": (False, lambda c: core(c).create_namespaced_pod("default", POD)),
    "a pod of a fault's there": (True, lambda c: core(c).create_namespaced_pod("default", of("kube-ordeal-eat"))),
    "the end of that": (True, lambda c: core(c).delete_namespaced_pod("kube-ordeal-eat", "default")),
    "a DaemonSet of the system's": (
        False, lambda c: k8s.AppsV1Api(c).create_namespaced_daemon_set("kube-system", DAEMON_SET)
    ),
    "another Lease of the system's": (False, claim_something_else),
    "a command in a pod of the system's": (False, lambda c: exec_in_pod(c, "kube-system", "made-up", ["true"])),
    "a label of a node": (True, label_a_node),
    "the end of a namespace": (False, lambda c: core(c).delete_namespace("kube-ordeal")),
    "the end of one of its own": (True, lambda c: core(c).delete_namespace("ordeal-fence")),
    "the end of that of agents": (True, lambda c: core(c).delete_namespace("kube-ordeal-agent-fence")),
}  # fmt: skip


@pytest.mark.parametrize("what", FENCED)
def test_the_fence_keeps_it_in_namespaces_of_its_own(fenced: Theirs, what: str) -> None:
    is_allowed, do = FENCED[what]
    with fenced.as_run() as client:
        if is_allowed:
            do(client)
            return
        with pytest.raises((ApiException, OrdealError)) as refused:
            do(client)
    assert FENCE in told(refused.value)


def test_the_steps_of_a_run_are_within_the_fence(fenced: Theirs, tmp_path: Path) -> None:
    test_the_steps_of_a_run_need_no_more(fenced, tmp_path)
