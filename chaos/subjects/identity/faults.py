"""Faults of a node's name: its hostname changes and the kubelet restarts; which name and credentials the kubelet has.

Both are done and undone by commands on the node from the host's side. A marker in /run says that the kubelet has been
restarted for us and has to be restarted once more; it goes with the node's power, as what it stands for does.
"""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar, Protocol

import msgspec
from kubernetes import client as k8s
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException

from chaos.clusters.abilities import NodeExec
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.target import ready_worker
from chaos.harm.uses import Capability, Uses

PINNED, ANY_NAME = "pinned", "any-name"
LEASES = "kube-node-lease"
MARKERS = "/run/kube-ordeal"
ADMIN_CONF = "/etc/kubernetes/admin.conf"
ANY_NAME_CONF = "/etc/kubernetes/kube-ordeal-any-name.conf"
EXTRA_ARGS = "KUBELET_EXTRA_ARGS"
# What a CNI agent that registers nodes by name writes for the node's range of addresses. Files that may hold tokens
# (such as a CNI plugin's kubeconfig) are not among them.
CNI_FILES = "/etc/cni/net.d/*.conf /etc/cni/net.d/*.conflist /run/flannel/subnet.env"
DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
BETWEEN = "--- kube-ordeal ---"


class _Reached(Cluster, NodeExec, Protocol): ...


class RenameNodePlan(msgspec.Struct, frozen=True):
    """`name`: the new one; `hostname`, `written`: the kernel's, and the text of /etc/hostname, as they were; `machine`:
    the system UUID that the Node says; `kubelet`: the process that ran; `cni`: the CNI agent's files, path to text.
    """

    node: str
    name: str
    hostname: str
    written: str
    machine: str
    kubelet: str
    cni: Mapping[str, str]


class SetKubeletIdentityPlan(msgspec.Struct, frozen=True):
    """`file`, `text`: of further arguments of the kubelet, as it was (None: there was none); `giver`: the control plane
    whose credentials it gets, empty where the cluster shows none.
    """

    node: str
    file: str
    text: str | None
    giver: str


@dataclass(frozen=True, slots=True)
class Kubelet:
    """The kubelet's process as the node's kernel shows it; `id` is another one after each start.

    `started`: when, by the node's own clock as it is now.
    """

    id: str
    started: datetime
    arguments: tuple[str, ...]


@fault
@dataclass(frozen=True, slots=True)
class RenameNode:
    """Give a worker another hostname and restart its kubelet; undo puts the name back.

    Undo also deletes what a kubelet under the new name has registered: the Node (only if it is of this very machine),
    its lease and the pods bound to it; and puts back what the CNI agent wrote about that Node's addresses.
    """

    kind: ClassVar[str] = "rename-node"
    counterpart: ClassVar[str] = "put_name_back"
    needs: ClassVar[tuple[type, ...]] = (NodeExec,)
    uses: ClassVar[Uses] = Uses(
        capabilities=(
            Capability.SYS_ADMIN,
            Capability.NET_ADMIN,
            Capability.SYS_PTRACE,
            Capability.DAC_READ_SEARCH,
        ),
        programs=("hostname", "ip", "systemctl"),
    )
    node: str
    name: str

    def plan(self, cluster: _Reached) -> RenameNodePlan:
        ready_worker(cluster, self.node, "it is not renamed")
        if not DNS_NAME.fullmatch(self.name):
            raise OrdealError(f"{self.name!r} can't be a node's hostname: take a DNS label, such as renamed-1")
        if any(n.name == self.name for n in cluster.nodes()):
            raise OrdealError(
                f"there is a node {self.name} in {cluster.ref.name} already: rename to a name that is free"
            )
        if _marked(cluster, self.node, self.kind):
            raise OrdealError(f"{self.node} is renamed already: run `kube-ordeal undo` first")
        hostname, written = _hostnames(cluster, self.node)
        if self.name == hostname:
            raise OrdealError(f"{self.node} has the hostname {hostname} already: give another name")
        with cluster.api() as client:
            node: Any = k8s.CoreV1Api(client).read_node(self.node)
        return RenameNodePlan(
            node=self.node,
            name=self.name,
            hostname=hostname,
            written=written,
            machine=node.status.node_info.system_uuid,
            kubelet=kubelet_of(cluster, self.node).id,
            cni=dict(_cni_files(cluster, self.node)),
        )

    def apply(self, cluster: _Reached, saved: RenameNodePlan) -> None:
        script = (
            f"{_mark(self.kind)}; hostname {self.name}; echo {self.name} > /etc/hostname; systemctl restart kubelet"
        )
        _sh(cluster, saved.node, script)

    def landed(self, cluster: _Reached, saved: RenameNodePlan) -> bool:
        """The node's kernel has the new name, and the kubelet has started since."""
        node = saved.node
        return _hostnames(cluster, node)[0] == saved.name and kubelet_of(cluster, node).id != saved.kubelet

    @staticmethod
    def lasts(cluster: _Reached, saved: RenameNodePlan) -> bool:
        return _hostnames(cluster, saved.node)[0] == saved.name

    @staticmethod
    def undo(cluster: _Reached, saved: RenameNodePlan) -> None:
        node, before = saved.node, (saved.hostname, saved.written)
        if _marked(cluster, node, RenameNode.kind) or _hostnames(cluster, node) != before:
            # The kubelet stands still meanwhile: the agent that it starts afterwards must find the old files.
            _sh(cluster, node, f"{_mark(RenameNode.kind)}; systemctl stop kubelet; hostname {saved.hostname}")
            _write(cluster, node, "/etc/hostname", saved.written)
            _restore_cni(cluster, saved)
            _sh(cluster, node, f"systemctl start kubelet; {_unmark(RenameNode.kind)}")
        _restore_cni(cluster, saved)
        try:
            with cluster.api() as client:
                if _is_duplicate(client, saved):
                    k8s.CoreV1Api(client).delete_node(saved.name)
                if not _node_there(client, saved.name):
                    _forget_node(client, saved.name)
        finally:  # also where it is the node that undoes, which has no API server
            for route in _routes_to_itself(cluster, node):
                _sh(cluster, node, f"ip route del {route}")

    @staticmethod
    def undone(cluster: _Reached, saved: RenameNodePlan) -> bool:
        """The old name is in kernel and file, and nothing is left of the other. When the node is Ready again is for
        invariants to judge.
        """
        node = saved.node
        if _marked(cluster, node, RenameNode.kind):
            return False
        now = dict(_cni_files(cluster, node))  # a file that came later is the agent's own
        if any(now.get(path) != text for path, text in saved.cni.items()):
            return False
        if _hostnames(cluster, node) != (saved.hostname, saved.written):
            return False
        if _started_under(cluster, node, saved.name) or _routes_to_itself(cluster, node):
            return False
        with cluster.api() as client:
            return not _is_duplicate(client, saved) and not _pods_of(client, saved.name)


@fault
@dataclass(frozen=True, slots=True)
class SetKubeletIdentity:
    """Set which name and credentials a worker's kubelet has; undo gives it its own again.

    `identity`: "pinned" starts it with --hostname-override set to the Node's name; "any-name" with credentials that may
    register a Node of any name (the control plane's admin.conf), as clusters had before the node authorizer.
    """

    kind: ClassVar[str] = "set-kubelet-identity"
    counterpart: ClassVar[str] = "restore_kubelet_identity"
    needs: ClassVar[tuple[type, ...]] = (NodeExec,)
    uses: ClassVar[Uses] = Uses(programs=("systemctl",), labels=True)
    node: str
    identity: str

    def plan(self, cluster: _Reached) -> SetKubeletIdentityPlan:
        ready_worker(cluster, self.node, "its kubelet is given no other identity")
        if self.identity not in {PINNED, ANY_NAME}:
            raise OrdealError(f"a kubelet's identity can be {PINNED} or {ANY_NAME}, not {self.identity!r}")
        if _marked(cluster, self.node, self.kind):
            raise OrdealError(f"the kubelet of {self.node} has another identity already: run `kube-ordeal undo` first")
        if any(a.startswith("--hostname-override") for a in kubelet_of(cluster, self.node).arguments):
            raise OrdealError(f"the kubelet of {self.node} runs with --hostname-override already: take another node")
        givers = [n.name for n in cluster.nodes() if n.control_plane and self.identity == ANY_NAME]
        giver = next(iter(givers), "")
        if self.identity == ANY_NAME and not giver:
            raise OrdealError(f"{cluster.ref.name} shows no control-plane node, so no {ADMIN_CONF} can be had")
        file = _environment_file(cluster, self.node)
        return SetKubeletIdentityPlan(self.node, file, _read(cluster, self.node, file), giver)

    def apply(self, cluster: _Reached, saved: SetKubeletIdentityPlan) -> None:
        node, before = saved.node, saved.text or ""
        _sh(cluster, node, _mark(self.kind))
        if self.identity == PINNED:
            flags = f"--hostname-override={node}"
        else:
            # Its own certificate would win over the file's (cmd/kubelet/app/server.go, buildKubeletClientConfig).
            flags = f"--kubeconfig={ANY_NAME_CONF} --rotate-certificates=false"
            # The key goes from node to node; the journal never has it.
            conf = cluster.node_exec(saved.giver, ["cat", ADMIN_CONF]).out
            _sh(cluster, node, f"umask 077; cat > {ANY_NAME_CONF}", stdin=conf)
        _write(cluster, node, saved.file, with_flags(before, flags))
        _sh(cluster, node, "systemctl restart kubelet")

    def landed(self, cluster: _Reached, saved: SetKubeletIdentityPlan) -> bool:
        """The running kubelet has the flag, and reports."""
        wanted = "--hostname-override=" if self.identity == PINNED else f"--kubeconfig={ANY_NAME_CONF}"
        node = saved.node
        return any(a.startswith(wanted) for a in kubelet_of(cluster, node).arguments) and reports(cluster, node)

    @staticmethod
    def lasts(cluster: _Reached, saved: SetKubeletIdentityPlan) -> bool:
        text = _read(cluster, saved.node, saved.file) or ""
        return "--hostname-override=" in text or ANY_NAME_CONF in text

    @staticmethod
    def undo(cluster: _Reached, saved: SetKubeletIdentityPlan) -> None:
        node, file = saved.node, saved.file
        if not _marked(cluster, node, SetKubeletIdentity.kind) and _read(cluster, node, file) == saved.text:
            return
        if saved.text is None:
            _sh(cluster, node, f"rm -f {shlex.quote(file)}")
        else:
            _write(cluster, node, file, saved.text)
        _sh(cluster, node, f"rm -f {ANY_NAME_CONF}; systemctl restart kubelet; {_unmark(SetKubeletIdentity.kind)}")

    @staticmethod
    def undone(cluster: _Reached, saved: SetKubeletIdentityPlan) -> bool:
        node = saved.node
        return (
            not _marked(cluster, node, SetKubeletIdentity.kind)
            and _read(cluster, node, saved.file) == saved.text
            and _read(cluster, node, ANY_NAME_CONF) is None
            and reports(cluster, node)
        )


def with_flags(environment: str, flags: str) -> str:
    """An environment file whose last KUBELET_EXTRA_ARGS, the one that counts for systemd, has these flags too."""
    given = re.findall(rf"^{EXTRA_ARGS}=(.*)$", environment, re.MULTILINE)
    already = [" ".join(shlex.split(given[-1]))] if given and given[-1].strip() else []
    ended = environment if not environment or environment.endswith("\n") else environment + "\n"
    return f'{ended}{EXTRA_ARGS}="{" ".join([*already, flags])}"\n'


def kubelet_of(cluster: NodeExec, node: str) -> Kubelet:
    """The running kubelet. Raises OrdealError, CommandError where none runs as a systemd service."""
    script = (
        "pid=$(systemctl show --property MainPID --value kubelet); "
        "cat /proc/$pid/stat; cat /proc/uptime; date +%s.%N; tr '\\0' '\\n' < /proc/$pid/cmdline"
    )
    lines = _sh(cluster, node, script).splitlines()
    ticks = int(lines[0].rpartition(")")[2].split()[19])  # starttime, proc_pid_stat(5); 100 ticks a second to user land
    pid = lines[0].split(" ", 1)[0]
    ago_s = float(lines[1].split()[0]) - ticks / 100
    return Kubelet(f"{pid}:{ticks}", datetime.fromtimestamp(float(lines[2]) - ago_s, UTC), tuple(lines[3:]))


def reports(cluster: _Reached, node: str) -> bool:
    """Whether the Node is Ready and its lease was renewed since the kubelet started, both by the node's own clock."""
    started = kubelet_of(cluster, node).started
    with cluster.api() as client:
        spec = k8s.CoordinationV1Api(client).read_namespaced_lease(node, LEASES).spec
    if spec is None or spec.renew_time is None:
        return False
    return bool(spec.renew_time > started) and any(n.name == node and n.ready == "True" for n in cluster.nodes())


def _hostnames(cluster: NodeExec, node: str) -> tuple[str, str]:
    """The kernel's hostname, and the text of /etc/hostname (empty where there is none)."""
    said = _sh(cluster, node, "uname -n; cat /etc/hostname 2>/dev/null || true")
    kernel, _, written = said.partition("\n")
    return kernel, written


def _cni_files(cluster: NodeExec, node: str) -> Iterator[tuple[str, str]]:
    script = f'for f in {CNI_FILES}; do [ ! -f "$f" ] || {{ echo "{BETWEEN}$f"; cat "$f"; echo; }}; done'
    for part in _sh(cluster, node, script).split(BETWEEN)[1:]:
        path, _, text = part.partition("\n")
        yield path, text[:-1]


def _routes_to_itself(cluster: NodeExec, node: str) -> list[str]:
    """Routes by way of the node's own address, as "RANGE via ADDRESS". A CNI agent of a second Node of the same machine
    makes one to the range of the first, and what it made outlives it.
    """
    own = set(re.findall(r"inet ([0-9.]+)/", _sh(cluster, node, "ip -4 -o addr")))
    routes = re.findall(r"^(\S+ via (\S+))", _sh(cluster, node, "ip -4 route"), re.MULTILINE)
    return [route for route, gateway in routes if gateway in own]


def _started_under(cluster: NodeExec, node: str, name: str) -> bool:
    """Whether a process is still there that was told the other Node's name, as CNI agents are (NODE_NAME, NODENAME,
    KUBERNETES_NODE_NAME ...): it could do harm yet. The kubelet ends it when it finds that its pod is none of its own.
    """
    told = f"grep -lzE '^[^=]*NODE[^=]*={name}$' /proc/[0-9]*/environ 2>/dev/null || true"
    return bool(_sh(cluster, node, told).strip())


def _restore_cni(cluster: NodeExec, saved: RenameNodePlan) -> None:
    now = dict(_cni_files(cluster, saved.node))
    for path, text in saved.cni.items():
        if now.get(path) != text:
            _write(cluster, saved.node, path, text)


def _environment_file(cluster: NodeExec, node: str) -> str:
    """The file of further arguments that the kubelet's unit reads, as kubeadm's does. Raises OrdealError."""
    said = _sh(cluster, node, "systemctl show --property EnvironmentFiles kubelet")
    files = re.findall(r"^EnvironmentFiles=(/etc/\S+)", said, re.MULTILINE)
    if not files:
        raise OrdealError(
            f"the kubelet's unit on {node} reads no file of further arguments (such as /etc/default/kubelet, which "
            "kubeadm's does), so its name can't be pinned here"
        )
    return str(files[-1])


def _is_duplicate(client: ApiClient, saved: RenameNodePlan) -> bool:
    """Whether a Node of the new name is there that is this very machine: what came from elsewhere is not ours."""
    try:
        node: Any = k8s.CoreV1Api(client).read_node(saved.name)
    except ApiException as error:
        if error.status == 404:
            return False
        raise
    return bool(node.status.node_info.system_uuid == saved.machine)


def _node_there(client: ApiClient, name: str) -> bool:
    return any(n.metadata and n.metadata.name == name for n in k8s.CoreV1Api(client).list_node().items)


def _pods_of(client: ApiClient, node: str) -> list[Any]:
    return list(k8s.CoreV1Api(client).list_pod_for_all_namespaces(field_selector=f"spec.nodeName={node}").items)


def _forget_node(client: ApiClient, name: str) -> None:
    """Remove what is bound to a Node that is gone; left alone the garbage collector takes minutes."""
    for pod in _pods_of(client, name):
        delete = partial(k8s.CoreV1Api(client).delete_namespaced_pod, grace_period_seconds=0)
        _unless_gone(partial(delete, pod.metadata.name, pod.metadata.namespace))
    _unless_gone(partial(k8s.CoordinationV1Api(client).delete_namespaced_lease, name, LEASES))


def _unless_gone(delete: Callable[[], object]) -> None:
    try:
        delete()
    except ApiException as error:
        if error.status != 404:
            raise


def _marked(cluster: NodeExec, node: str, kind: str) -> bool:
    return cluster.node_exec(node, ["test", "-e", f"{MARKERS}/{kind}"], check=False).code == 0


def _mark(kind: str) -> str:
    return f"mkdir -p {MARKERS}; touch {MARKERS}/{kind}"


def _unmark(kind: str) -> str:
    return f"rm -f {MARKERS}/{kind}; rmdir --ignore-fail-on-non-empty {MARKERS}"


def _read(cluster: NodeExec, node: str, path: str) -> str | None:
    said = cluster.node_exec(node, ["sh", "-c", f"[ ! -e {path} ] && exit 3; cat {path}"], check=False)
    if said.code not in {0, 3}:
        raise OrdealError(f"{path} on {node} can't be read: {said.err.strip()}")
    return None if said.code == 3 else said.out


def _write(cluster: NodeExec, node: str, path: str, text: str) -> None:
    # In place: /etc/hostname of a container is a mount, which can't be replaced by a rename.
    _sh(cluster, node, f"cat > {shlex.quote(path)}", stdin=text)


def _sh(cluster: NodeExec, node: str, script: str, stdin: str | None = None) -> str:
    return cluster.node_exec(node, ["sh", "-ec", script], stdin=stdin).out
