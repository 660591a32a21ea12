"""kube-proxy runs from another file, on each node: a mutant in the place of what was shipped, or what it is told."""

import base64
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import msgspec
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.clusters.abilities import NodeExec, RunsContainers
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.elf import check_program
from chaos.harm.uses import Capability, Uses

NAMESPACE, NAME, PODS = "kube-system", "kube-proxy", "k8s-app=kube-proxy"  # as kubeadm makes it
AT = "/usr/local/bin/kube-proxy"  # in its container, as upstream's image has it
VOLUME, PREFIX = "kube-ordeal-program", "/usr/local/kube-ordeal-kube-proxy-"  # the file that is put on each node
COPIED_WITHIN_S = 180.0
FROZEN: Mapping[str, str] = MappingProxyType({})


class _Node(Cluster, NodeExec, Protocol): ...


class SwapKubeProxyPlan(msgspec.Struct, frozen=True):
    """The nodes, the file that is `put` on each, and its SHA-256 in hex."""

    nodes: tuple[str, ...]
    put: str
    sha256: str


@fault
@dataclass(frozen=True, slots=True)
class SwapKubeProxy:
    """Let each node's kube-proxy run from the file `path` of this machine: it is put on the nodes, and mounted over the
    one in the container. Undo takes the mount out of the DaemonSet, and the file away.
    """

    kind: ClassVar[str] = "swap-kube-proxy"
    counterpart: ClassVar[str] = "restore_kube_proxy"
    needs: ClassVar[tuple[type, ...]] = (RunsContainers, NodeExec)
    uses: ClassVar[Uses] = Uses(capabilities=(Capability.SYS_PTRACE,), programs=("pidof",), labels=True)
    path: str

    def plan(self, cluster: _Node) -> SwapKubeProxyPlan:
        nodes = tuple(node.name for node in cluster.nodes())
        for node in nodes:
            sha256 = check_program(Path(self.path), cluster.node_exec(node, ["uname", "-m"]).out.strip())
        if is_mounted(cluster, VOLUME):
            raise OrdealError("kube-proxy runs from another program already: run `kube-ordeal undo` first")
        if AT not in command_of(cluster):
            raise OrdealError(f"the DaemonSet {NAME} does not run {AT}: its program can't be swapped")
        return SwapKubeProxyPlan(nodes, f"{PREFIX}{uuid.uuid4().hex[:8]}", sha256)

    def apply(self, cluster: _Node, saved: SwapKubeProxyPlan) -> None:
        # As text, because that is what a command on a node takes.
        text = base64.b64encode(Path(self.path).read_bytes()).decode()
        for node in saved.nodes:
            script = f"base64 --decode > {saved.put}; chmod 755 {saved.put}"
            cluster.node_exec(node, ["sh", "-ec", script], timeout_s=COPIED_WITHIN_S, stdin=text)
        mount(cluster, VOLUME, saved.put, AT)

    def landed(self, cluster: _Node, saved: SwapKubeProxyPlan) -> bool:
        """Each node's kernel says that kube-proxy was started from that file, and all of them are Ready."""
        return all_ready(cluster) and all(_running(cluster, node) == saved.sha256 for node in saved.nodes)

    @staticmethod
    def lasts(cluster: _Node, saved: SwapKubeProxyPlan) -> bool:
        """The DaemonSet has the mount."""
        return is_mounted(cluster, VOLUME)

    @staticmethod
    def undo(cluster: _Node, saved: SwapKubeProxyPlan) -> None:
        unmount(cluster, VOLUME)
        for node in saved.nodes:
            if _running(cluster, node) != saved.sha256:
                cluster.node_exec(node, ["rm", "-f", saved.put])

    @staticmethod
    def undone(cluster: _Node, saved: SwapKubeProxyPlan) -> bool:
        """No node runs it or has the file; where one still ran it, it was left there, and is taken away now."""
        if not all_ready(cluster) or any(_running(cluster, node) == saved.sha256 for node in saved.nodes):
            return False
        for node in saved.nodes:
            cluster.node_exec(node, ["rm", "-f", saved.put])
        return not is_mounted(cluster, VOLUME)


def command_of(cluster: Cluster) -> list[str]:
    """What kube-proxy's container runs, with its arguments. Raises OrdealError where there is no such DaemonSet."""
    (container,) = _read(cluster).spec.template.spec.containers
    return list(container.command)


def is_mounted(cluster: Cluster, volume: str) -> bool:
    """Whether the DaemonSet has a volume of that name."""
    return volume in {each.name for each in _read(cluster).spec.template.spec.volumes or ()}


def mount(cluster: Cluster, volume: str, put: str, at: str, arguments: Mapping[str, str] = FROZEN) -> None:
    """Let each kube-proxy have the file `put` of its node `at` a path, and others in the place of some arguments."""
    added = {"name": volume, "hostPath": {"path": put, "type": "File"}}
    _change(cluster, volume, [added], [{"name": volume, "mountPath": at, "readOnly": True}], arguments)


def unmount(cluster: Cluster, volume: str, arguments: Mapping[str, str] = FROZEN) -> None:
    """Take that back; harmless where it is not there."""
    if is_mounted(cluster, volume):
        _change(cluster, volume, [], [], arguments)


def all_ready(cluster: Cluster) -> bool:
    """Whether the DaemonSet's newest template is what every node's Ready pod was made of."""
    found = _read(cluster)
    status = found.status
    counts = {status.updated_number_scheduled, status.number_ready, status.current_number_scheduled}
    return status.observed_generation == found.metadata.generation and counts == {status.desired_number_scheduled}


def _read(cluster: Cluster) -> Any:
    with cluster.api() as client:
        try:
            return k8s.AppsV1Api(client).read_namespaced_daemon_set(NAME, NAMESPACE)
        except ApiException as error:
            raise OrdealError(f"there is no DaemonSet {NAME} in namespace {NAMESPACE} ({error.status})") from error


def _change(cluster: Cluster, volume: str, volumes: list[Any], mounts: list[Any], arguments: Mapping[str, str]) -> None:
    """Give the DaemonSet these in the place of those of that name, and start all its pods anew, at once."""
    found = _read(cluster)
    with cluster.api() as client:
        pod = client.sanitize_for_serialization(found.spec.template.spec)
        (container,) = pod["containers"]
        where, whose = "/spec/template/spec", "/spec/template/spec/containers/0"
        values = {
            f"{where}/volumes": [*(each for each in pod["volumes"] if each["name"] != volume), *volumes],
            f"{whose}/volumeMounts": [*(each for each in container["volumeMounts"] if each["name"] != volume), *mounts],
            f"{whose}/command": [arguments.get(each, each) for each in container["command"]],
        }
        change = [{"op": "replace", "path": path, "value": value} for path, value in values.items()]
        k8s.AppsV1Api(client).patch_namespaced_daemon_set(NAME, NAMESPACE, change)
        core = k8s.CoreV1Api(client)
        there: Any = core.list_namespaced_pod(NAMESPACE, label_selector=PODS)
        for each in there.items:
            with suppress(ApiException):  # the controller may have been faster
                core.delete_namespaced_pod(each.metadata.name, NAMESPACE, grace_period_seconds=1)


def _running(cluster: NodeExec, node: str) -> str:
    """The SHA-256 of the file that a node's kube-proxy was started from; empty where it does not run."""
    said = cluster.node_exec(node, ["sh", "-c", f"sha256sum /proc/$(pidof -s {NAME})/exe"], check=False).out.split()
    return said[0] if said else ""
