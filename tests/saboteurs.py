"""Saboteurs: what replays are made of does not do its work, or somebody does more harm than they know of.

pytest -p tests.saboteurs suites/ ..., with the saboteurs' names in KUBE_ORDEAL_SABOTEURS, parted by commas. Each is put
in the place of a framework's part when pytest starts, in each process of a run side by side; the replays know nothing
of it. No replay may end as held for any of them. Those of the first kind make it unknown, the others break promises:
the catalogue says which of which incident (chaos.judge.catalogue.Proof).
"""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

from kubernetes import client as k8s

from chaos.basics.waiting import eventually
from chaos.clusters.abilities import Heartbeats
from chaos.harm import load_all
from chaos.harm.base import registered
from chaos.run import steady
from chaos.run.fit import fit_workers
from chaos.run.lab import Lab
from chaos.subjects.handles import sampler as handles
from chaos.subjects.mysql import sampler as mysql
from chaos.subjects.mysql.workload import ask_member, members
from chaos.subjects.watch_cache.faults import EditEtcdBehind
from chaos.workloads.base import WORKLOAD_LABEL

NAMED_BY = "KUBE_ORDEAL_SABOTEURS"
AFTER_S, LATER_S = 3.0, 86400.0
STORES_STALLED_S = 45.0  # longer than a cluster may take to be whole again
STALLED_S = 65.0  # a little more than the minute in which pods that waited have to start
# So long that a container which is ended again and again has to wait for its next start (10 s of back-off, then more).
KILLING = "for i in 1 2 3 4 5 6 7 8; do pkill -KILL httpd; pkill -KILL nc; sleep 0.5; done; true"
# Nobody could tell that from a kernel that ran out, or a runtime of that driver, where the node is only read.
MISCONFIGURED = r"""
printf '#!/bin/sh\necho "SLUB: Unable to allocate memory on node -1 (gfp=0x8020)"\n' > /usr/local/bin/dmesg
chmod +x /usr/local/bin/dmesg
printf '\n[plugins."io.containerd.grpc.v1.cri".containerd]\n  snapshotter = "native"\n' > /tmp/kube-ordeal-native.toml
sed -i '1i imports = ["/tmp/kube-ordeal-native.toml"]' /etc/containerd/config.toml
"""


# --- parts that do not do their work


def fault_does_nothing() -> None:
    """Its call returns, and nothing has happened."""
    for cls in registered().values():
        _put(cls, "apply", lambda *_: None)


def fault_lapses() -> None:
    """Somebody else takes the harm back soon after it was done."""

    def lapsing(cls: Any, landed: Callable[..., bool]) -> Callable[..., bool]:
        def landed_and_taken_back(self: Any, cluster: Any, saved: Any) -> bool:
            if landed(self, cluster, saved):
                _later(AFTER_S, cls.undo, cluster, saved)
                return True
            return False

        return landed_and_taken_back

    for cls in registered().values():
        _put(cls, "landed", lapsing(cls, cls.landed))


# --- what breaks promises


class Lie:
    """A fault that plans as another one does, does no harm, and says that it has."""

    landed = lasts = undone = staticmethod(lambda *_: True)
    apply = undo = staticmethod(lambda *_: None)

    def __init__(self, fault: Any) -> None:
        self.kind, self.needs, self.plan = fault.kind, fault.needs, fault.plan


def fault_lies() -> None:
    """The harm is not done, and whoever is asked says that it is: what has to show, when there is harm, does not."""
    inject: Any = Lab.inject
    _put(Lab, "inject", lambda self, fault, nodes=(): inject(self, Lie(fault), nodes))


def containers_killed() -> None:
    """Soon after the harm has landed somebody kills the programs of web and echo on all workers, again and again."""

    def kill(lab: Lab) -> None:
        cluster: Any = lab.current
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda n: cluster.node_exec(n, ["sh", "-c", KILLING], timeout_s=60), _workers(lab)))

    _once_harmed(kill)


def pod_deleted() -> None:
    """When the harm was taken back, and the API server answers, somebody deletes a pod of web."""

    def delete(lab: Lab) -> None:
        def deleted() -> bool:
            with lab.current.api() as client:
                core = k8s.CoreV1Api(client)
                pod: Any = core.list_pod_for_all_namespaces(label_selector=f"{WORKLOAD_LABEL}=web").items[0]
                core.delete_namespaced_pod(pod.metadata.name, pod.metadata.namespace)
            return True

        eventually(deleted, within_s=120, what="a pod of web to be deleted")

    _once_harmed(delete, after=True)


def kubelet_restarted() -> None:
    """Soon after the harm has landed somebody restarts the first worker's kubelet."""
    _once_harmed(lambda lab: _on_worker(lab, "systemctl restart kubelet"))


def runtime_stalls() -> None:
    """When the harm was taken back, the first worker's container runtime stands still for a minute."""

    def stall(lab: Lab) -> None:
        _on_worker(lab, "systemctl kill --signal STOP containerd")
        _later(STALLED_S, _on_worker, lab, "systemctl kill --signal CONT containerd")

    _once_harmed(stall, after=True)


def stores_stalled() -> None:
    """When the harm was taken back, every Redis server stands still for a while."""

    def stall(lab: Lab) -> None:
        def signal_all(name: str) -> None:
            for node in _workers(lab):
                cluster: Any = lab.current
                cluster.node_exec(node, ["pkill", f"-{name}", "redis-server"], check=False)

        signal_all("STOP")
        _later(STORES_STALLED_S, signal_all, "CONT")

    _once_harmed(stall, after=True)


def kubelet_stopped() -> None:
    """At the end somebody stops a worker's kubelet for good: before new pods are tried, or else after the story."""
    start, record, stopped = Lab.start_new_pods, Lab.record, set[int]()

    def stop(lab: Lab) -> None:
        if id(lab) in stopped:
            return
        stopped.add(id(lab))
        cluster: Any = lab.current
        if isinstance(cluster, Heartbeats):
            for group in cluster.heartbeat_groups():
                cluster.stop_heartbeats(group)
        else:
            _on_worker(lab, "systemctl stop kubelet")
        eventually(lambda: not lab.nodes_ready(), within_s=120, what="a node without its kubelet to be away")

    def stop_and_start(self: Lab, **given: Any) -> None:
        stop(self)
        start(self, **given)

    @contextmanager
    def recorded(self: Lab, *given: Any, **named: Any) -> Iterator[Any]:
        with record(self, *given, **named) as history:
            yield history
            stop(self)

    _put(Lab, "start_new_pods", stop_and_start)
    _put(Lab, "record", recorded)


def logs_silent() -> None:
    """What the daemons have said is not in their logs: whoever looks is led to lines that are still to be written."""
    look = handles.what_the_logs_say

    def silent(cluster: Any, history: Any, node: str, since: float) -> None:
        look(cluster, history, node, since + LATER_S)

    _put(handles, "what_the_logs_say", silent)


def rows_deleted() -> None:
    """Before the members are read back somebody deletes rows of the last one."""
    read = mysql.read_back

    def lacking(history: Any, deployed: Any, *more: Any) -> None:
        delete = ["SET SESSION sql_log_bin = 0", "DELETE FROM ordeal.writes LIMIT 3"]
        ask_member(deployed, members(deployed)[-1], delete)
        read(history, deployed, *more)

    _put(mysql, "read_back", lacking)


def node_misconfigured() -> None:
    """A worker's kernel log says that memory ran out, and its containerd is configured for another storage driver."""
    record = Lab.record

    def misconfigured(self: Lab, *given: Any, **named: Any) -> Any:
        _on_worker(self, MISCONFIGURED)
        return record(self, *given, **named)

    _put(Lab, "record", misconfigured)


def apiserver_stalled() -> None:
    """A simulated cluster's API server stands still from before etcd is edited until the harm is taken back."""
    inject, edit = Lab.inject, EditEtcdBehind.apply

    def stop_and_edit(self: Any, cluster: Any, saved: Any) -> None:
        _signal_apiserver(cluster, signal.SIGSTOP)
        edit(self, cluster, saved)

    @contextmanager
    def stalled(self: Lab, *given: Any) -> Iterator[Any]:
        with inject(self, *given) as saved:
            try:
                yield saved
            finally:
                _signal_apiserver(self.current, signal.SIGCONT)

    _put(EditEtcdBehind, "apply", stop_and_edit)
    _put(Lab, "inject", stalled)


def service_gone() -> None:
    """Before anything is recorded somebody scales the workload that is probed down to nothing."""
    record = Lab.record

    def without(self: Lab, probe: Any = None, *more: Any, **named: Any) -> Any:
        with self.current.api() as client:
            none = {"spec": {"replicas": 0}}
            k8s.AppsV1Api(client).patch_namespaced_deployment_scale(probe.name, probe.namespace, none)
        return record(self, probe, *more, **named)

    _put(steady, "STEADY_WITHIN_S", 15.0)
    _put(Lab, "record", without)


SABOTEURS: Mapping[str, Callable[[], None]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        *(fault_does_nothing, fault_lapses, fault_lies),
        *(containers_killed, pod_deleted, kubelet_restarted, runtime_stalls, stores_stalled, kubelet_stopped),
        *(logs_silent, rows_deleted, node_misconfigured, apiserver_stalled, service_gone),
    )
}


@dataclass(frozen=True)
class Sabotaged:
    """A hardened replay that is run with saboteurs: its suite below suites/, as pytest names it, on a kind of cluster.

    What they break is in the catalogue: each promise that a proof of theirs names, and that this replay is judged by.
    """

    incident: str
    test: str
    saboteurs: tuple[str, ...]
    cluster: str = "kind"


REPLAYS = (
    Sabotaged(
        "apiserver-node-loss",
        "control_plane/test_apiserver_node_loss.py::test_the_control_plane_comes_back_at_its_address",
        ("containers-killed",),
    ),
    Sabotaged(
        "bad-link",
        "network/test_bad_link_redis.py::test_redis_keeps_what_replicas_have_confirmed",
        ("stores-stalled",),
    ),
    Sabotaged(
        "hostname-change",
        "node/test_hostname_change.py::test_a_kubelet_may_register_no_name_but_its_own",
        ("fault-lies", "containers-killed", "pod-deleted", "kubelet-stopped"),
    ),
    Sabotaged("imagefs-full", "node/test_imagefs_full.py::test_a_full_kubelet_file_system", ("kubelet-stopped",)),
    Sabotaged(
        "kmem-leak",
        "preflight/test_kmem_leak.py::test_containers_leave_no_kernel_memory_behind",
        ("node-misconfigured",),
    ),
    Sabotaged(
        "mass-termination",
        "control_plane/test_mass_termination.py::test_nodes_that_lose_the_apiserver_keep_their_pods",
        ("containers-killed", "kubelet-stopped"),
    ),
    Sabotaged(
        "mysql-clock",
        "database/test_mysql_clock.py::test_a_server_outlives_its_clock_going_back",
        ("fault-lies", "rows-deleted"),
    ),
    Sabotaged(
        "new-control-plane",
        "control_plane/test_new_control_plane.py::test_a_control_plane_that_kubelets_cannot_reach_deletes_nothing",
        ("containers-killed", "kubelet-stopped"),
    ),
    Sabotaged(
        "nofile-exhausted",
        "node/test_nofile_exhausted.py::test_what_goes_on_while_a_daemon_has_no_handles",
        ("containers-killed", "kubelet-restarted", "logs-silent", "runtime-stalls", "kubelet-stopped"),
    ),
    Sabotaged(
        "rwo-volume-handover",
        "storage/test_rwo_volume_handover.py::test_a_lost_nodes_volume_waits_for_the_fence",
        ("kubelet-stopped",),
    ),
    Sabotaged(
        "stale-watch-cache",
        "control_plane/test_stale_watch_cache.py::test_watchers_see_an_object_that_was_edited_in_etcd",
        ("apiserver-stalled",),
        "simulated",
    ),
    Sabotaged(
        "storage-driver",
        "preflight/test_storage_driver.py::test_containers_leave_no_files_behind",
        ("node-misconfigured",),
    ),
)


def _once_harmed(harm: Callable[[Lab], None], *, after: bool = False) -> None:
    """Do more harm where a replay does its first: within it, or when it was undone."""
    inject, done = Lab.inject, set[int]()

    @contextmanager
    def injected(self: Lab, *given: Any) -> Iterator[Any]:
        first = id(self) not in done
        done.add(id(self))
        with inject(self, *given) as saved:
            if first and not after:
                harm(self)
            yield saved
        if first and after:
            harm(self)

    _put(Lab, "inject", injected)


def _signal_apiserver(cluster: Any, number: int) -> None:
    """To the API server of a simulated cluster: its flags name the cluster's folder."""
    name = cluster.ref.name.encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            program, *flags = path.read_bytes().split(b"\0")
            if program.endswith(b"kube-apiserver") and any(name in flag for flag in flags):
                os.kill(int(path.parent.name), number)


def _later(after_s: float, call: Callable[..., object], *given: object) -> None:
    timer = Timer(after_s, call, given)
    timer.daemon = True
    timer.start()


def _workers(lab: Lab) -> list[str]:
    return [node.name for node in lab.current.nodes() if not node.control_plane]


def _on_worker(lab: Lab, script: str) -> None:
    """On the first worker."""
    cluster: Any = lab.current
    cluster.node_exec(fit_workers(cluster)[0].name, ["sh", "-c", script], timeout_s=60)


def _put(cls: Any, name: str, value: object) -> None:
    setattr(cls, name, value)


def pytest_configure() -> None:
    """Before anything is collected."""
    load_all()
    for name in os.environ[NAMED_BY].split(","):
        SABOTEURS[name]()
