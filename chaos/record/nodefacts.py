"""What a node is made of, read before any harm: versions, storage, limits, clock. Nothing is changed by it.

Each fact is an Observation or a Sample of the history; one that can't be read is an Unreadable, and what
depends on it is unknown.
"""

import re
import time
from collections.abc import Callable
from typing import Any

from kubernetes import client as k8s

from chaos.basics.clock import unix_s
from chaos.clusters.abilities import NodeClocks, NodeExec, is_reached
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import count
from chaos.errors import OrdealError
from chaos.record.history import History
from chaos.record.records import KernelMemoryLimit, Observation, Sample, Unreadable

KERNEL, KUBELET, RUNTIME, OS = "kernel", "kubelet", "container-runtime", "os"
STORAGE, BACKING = "storage-driver", "backing-file-system"
SLUB_FAILURE, KERNEL_LOG = "slub-failure", "kernel-log-lines"
SOFT_HANDLES, HARD_HANDLES = "nofile-soft", "nofile-hard"
INOTIFY, MAX_PODS = "inotify-instances", "max-pods"
CLOCK = "clock-offset-s"
SLAB, RUNTIME_DISK, STARTED = "unreclaimable-slab-bytes", "runtime-disk-bytes", "containers-started"
NOT_ENTERED = "not-looked-into"

DAEMONS = ("containerd", "kubelet")
RUNTIME_DIRECTORIES = ("/var/lib/containerd", "/var/lib/kubelet", "/var/log/pods")
CLOCK_TRIES = 5
# mm/slub.c, slab_out_of_memory.
SLUB = "SLUB: Unable to allocate memory"
# What kernel memory of the kubelet's pods is limited to; the file is there with cgroup v1 alone.
_KMEM_FILES = "/sys/fs/cgroup/memory/kubelet/kubepods*/memory.kmem.limit_in_bytes"
_KMEM_FILES_TOP = "/sys/fs/cgroup/memory/kubepods*/memory.kmem.limit_in_bytes"


def read_all(cluster: Cluster, history: History) -> None:
    """Read the facts of every node; those that are inside of it only where it is reached, else it is told that it was
    not. Raises OrdealError where the API server does not answer.
    """
    with cluster.api() as client:
        items: list[Any] = k8s.CoreV1Api(client).list_node().items
    for item in items:
        name, info = item.metadata.name, item.status.node_info
        for fact, value in (
            (KERNEL, info.kernel_version),
            (KUBELET, info.kubelet_version),
            (RUNTIME, info.container_runtime_version),
            (OS, info.os_image),
        ):
            history.add(Observation(history.now(), fact, name, str(value)))
        history.add(Sample(history.now(), MAX_PODS, name, float(count(item.status.capacity["pods"]))))
        if not is_reached(cluster, name):
            history.add(Observation(history.now(), NOT_ENTERED, name, "it has no node agent: its owner allows none"))
        elif isinstance(cluster, NodeExec):
            _read_inside(cluster, name, history)


def measure(cluster: NodeExec, node: str, history: History) -> None:
    """What a leak would let grow: unreclaimable kernel memory, and the container runtime's and kubelet's files."""

    def slab() -> None:
        meminfo = _on(cluster, node, "cat /proc/meminfo")
        found = re.search(r"^SUnreclaim:\s+(\d+) kB$", meminfo, re.MULTILINE)
        if found is None:
            raise OrdealError("/proc/meminfo has no SUnreclaim")
        history.add(Sample(history.now(), SLAB, node, 1024.0 * int(found[1])))

    def disk() -> None:
        # Files that go while they are counted are no error.
        sizes = _on(cluster, node, f"du -sxB1 {' '.join(RUNTIME_DIRECTORIES)} 2>/dev/null || true").splitlines()
        if len(sizes) != len(RUNTIME_DIRECTORIES):
            raise OrdealError(f"the size of {', '.join(RUNTIME_DIRECTORIES)} can't be read")
        history.add(Sample(history.now(), RUNTIME_DISK, node, float(sum(int(line.split()[0]) for line in sizes))))

    for fact, read in ((SLAB, slab), (RUNTIME_DISK, disk)):
        _try(history, node, fact, read)


def _read_inside(cluster: NodeExec, node: str, history: History) -> None:
    for fact, read in (
        (STORAGE, _storage),
        (KernelMemoryLimit.kind, _kernel_memory),
        (KERNEL_LOG, _kernel_log),
        (SOFT_HANDLES, _handles),
        (INOTIFY, _inotify),
        (CLOCK, _clock),
    ):
        _try(history, node, fact, lambda read=read: read(cluster, node, history))  # type: ignore[misc]


def _try(history: History, node: str, fact: str, read: Callable[[], None]) -> None:
    try:
        read()
    except (OrdealError, ValueError, IndexError) as error:
        history.add(Unreadable(history.now(), node, fact, str(error).splitlines()[0]))


def _on(cluster: NodeExec, node: str, script: str) -> str:
    return cluster.node_exec(node, ["sh", "-ec", script], timeout_s=60).out


def _storage(cluster: NodeExec, node: str, history: History) -> None:
    """containerd's snapshotter for pods, and the file system that its layers are on."""
    config = _on(cluster, node, "containerd config dump 2>/dev/null")
    # The CRI plugin's; the first of its section. Its default is overlayfs (pkg/cri/config in containerd).
    found = re.search(r"^\s*snapshotter = [\"'](\w+)[\"']", config, re.MULTILINE)
    history.add(Observation(history.now(), STORAGE, node, found[1] if found else "overlayfs"))
    backing = _on(cluster, node, "findmnt -no FSTYPE -T /var/lib/containerd").split()
    history.add(Observation(history.now(), BACKING, node, backing[0]))


def _kernel_memory(cluster: NodeExec, node: str, history: History) -> None:
    """The smallest kernel-memory limit of the pods' cgroups; None where there is no such limit."""
    limits = _on(cluster, node, f"cat {_KMEM_FILES} {_KMEM_FILES_TOP} 2>/dev/null || true").split()
    unlimited = 2**62  # the file shows the largest multiple of a page where there is no limit
    set_ones = [int(limit) for limit in limits if int(limit) < unlimited]
    history.add(KernelMemoryLimit(history.now(), node, min(set_ones, default=None)))


def _kernel_log(cluster: NodeExec, node: str, history: History) -> None:
    lines = _on(cluster, node, "dmesg").splitlines()
    history.add(Sample(history.now(), KERNEL_LOG, node, float(len(lines))))
    for line in lines:
        if SLUB in line:
            history.add(Observation(history.now(), SLUB_FAILURE, node, line.strip()))


def _handles(cluster: NodeExec, node: str, history: History) -> None:
    for daemon in DAEMONS:
        pid = _on(cluster, node, f"pidof -s {daemon}").strip()
        limits = _on(cluster, node, f"cat /proc/{int(pid)}/limits")
        row = next(line for line in limits.splitlines() if line.startswith("Max open files")).split()
        for fact, text in ((SOFT_HANDLES, row[3]), (HARD_HANDLES, row[4])):
            history.add(Sample(history.now(), fact, f"{node}/{daemon}", float(text)))


def _inotify(cluster: NodeExec, node: str, history: History) -> None:
    text = _on(cluster, node, "cat /proc/sys/fs/inotify/max_user_instances")
    history.add(Sample(history.now(), INOTIFY, node, float(text)))


def _clock(cluster: NodeExec, node: str, history: History) -> None:
    """The node's clock less this machine's, by the quickest of a few questions: half its round trip is its error.

    Whether two nodes differ is not to depend on this machine's clock being set between them. Where a node has a clock
    of its own, it is compared with the run's own; where it is the same one, it is set for both.
    """
    of_its_own = isinstance(cluster, NodeClocks)
    best: tuple[float, float] | None = None
    for _ in range(CLOCK_TRIES):
        sent, began = unix_s() if of_its_own else time.time(), time.monotonic()
        there = float(_on(cluster, node, "date +%s.%N"))
        took_s = time.monotonic() - began
        if best is None or took_s < best[0]:
            best = took_s, there - (sent + took_s / 2)
    assert best is not None
    history.add(Sample(history.now(), CLOCK, node, best[1]))
