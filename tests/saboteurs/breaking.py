"""Saboteurs that break promises: somebody does more harm than a replay knows of.

The catalogue says which of them breaks which promise of which incident (chaos.judge.catalogue.Proof).
"""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kubernetes import client as k8s

from chaos.basics.waiting import eventually
from chaos.clusters.abilities import Heartbeats
from chaos.run import steady
from chaos.run.fit import fit_workers
from chaos.run.lab import Lab
from chaos.subjects.handles import sampler as handles
from chaos.subjects.mysql import sampler as mysql
from chaos.subjects.mysql.workload import ask_member, members
from chaos.subjects.watch_cache.faults import EditEtcdBehind
from chaos.workloads.base import WORKLOAD_LABEL
from tests.saboteurs.putting import later, put

LATER_S = 86400.0
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
        later(STALLED_S, _on_worker, lab, "systemctl kill --signal CONT containerd")

    _once_harmed(stall, after=True)


def stores_stalled() -> None:
    """When the harm was taken back, every Redis server stands still for a while."""

    def stall(lab: Lab) -> None:
        def signal_all(name: str) -> None:
            for node in _workers(lab):
                cluster: Any = lab.current
                cluster.node_exec(node, ["pkill", f"-{name}", "redis-server"], check=False)

        signal_all("STOP")
        later(STORES_STALLED_S, signal_all, "CONT")

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

    put(Lab, "start_new_pods", stop_and_start)
    put(Lab, "record", recorded)


def logs_silent() -> None:
    """What the daemons have said is not in their logs: whoever looks is led to lines that are still to be written."""
    look = handles.what_the_logs_say

    def silent(cluster: Any, history: Any, node: str, since: float) -> None:
        look(cluster, history, node, since + LATER_S)

    put(handles, "what_the_logs_say", silent)


def rows_deleted() -> None:
    """Before the members are read back somebody deletes rows of the last one."""
    read = mysql.read_back

    def lacking(history: Any, deployed: Any, *more: Any) -> None:
        delete = ["SET SESSION sql_log_bin = 0", "DELETE FROM ordeal.writes LIMIT 3"]
        ask_member(deployed, members(deployed)[-1], delete)
        read(history, deployed, *more)

    put(mysql, "read_back", lacking)


def node_misconfigured() -> None:
    """A worker's kernel log says that memory ran out, and its containerd is configured for another storage driver."""
    record = Lab.record

    def misconfigured(self: Lab, *given: Any, **named: Any) -> Any:
        _on_worker(self, MISCONFIGURED)
        return record(self, *given, **named)

    put(Lab, "record", misconfigured)


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

    put(EditEtcdBehind, "apply", stop_and_edit)
    put(Lab, "inject", stalled)


def service_gone() -> None:
    """Before anything is recorded somebody scales the workload that is probed down to nothing."""
    record = Lab.record

    def without(self: Lab, probe: Any = None, *more: Any, **named: Any) -> Any:
        with self.current.api() as client:
            none = {"spec": {"replicas": 0}}
            k8s.AppsV1Api(client).patch_namespaced_deployment_scale(probe.name, probe.namespace, none)
        return record(self, probe, *more, **named)

    put(steady, "STEADY_WITHIN_S", 15.0)
    put(Lab, "record", without)


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

    put(Lab, "inject", injected)


def _signal_apiserver(cluster: Any, number: int) -> None:
    """To the API server of a simulated cluster: its flags name the cluster's folder."""
    name = cluster.ref.name.encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            program, *flags = path.read_bytes().split(b"\0")
            if program.endswith(b"kube-apiserver") and any(name in flag for flag in flags):
                os.kill(int(path.parent.name), number)


def _workers(lab: Lab) -> list[str]:
    return [node.name for node in lab.current.nodes() if not node.control_plane]


def _on_worker(lab: Lab, script: str) -> None:
    """On the first worker."""
    cluster: Any = lab.current
    cluster.node_exec(fit_workers(cluster)[0].name, ["sh", "-c", script], timeout_s=60)
