"""An upgrade in place, by kubeadm: which versions it goes through, and its commands, as an operator gives them.

Source: Kubernetes documentation, "Upgrading kubeadm clusters" and "Version Skew Policy".
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import yaml
from kubernetes import client as k8s
from packaging.version import Version

from chaos.basics.waiting import eventually
from chaos.clusters.abilities import BringsVersions, NodeExec
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import is_ready, server_version
from chaos.errors import OrdealError
from chaos.hosts.bundles import normal_version, plain
from chaos.hosts.image import kind_config_patches
from chaos.record.history import History
from chaos.subjects.upgrade.records import ApplyBegun, ApplyEnded, ControlPlaneVersion, KubeletReplaced, ManifestPlaced

NEVER = "none"  # of --ordeal-upgrade-to
ADMIN = "/etc/kubernetes/admin.conf"
MANIFESTS = "/etc/kubernetes/manifests"
LOG = "/var/log/kube-ordeal-upgrade.log"
APPLY_WITHIN_S = 600.0
DRAIN_WITHIN_S = 300
ANSWERS_WITHIN_S = 120.0  # this, and what follows, ends when it is seen
API_BACK_WITHIN_S = 300.0
# kubeadm's own checks that a node in a container can't pass. SystemVerification reads the kernel's configuration and
# the machine's cgroups; CreateJob waits for `pause -v` to end, and the pause of our node images takes no flag.
IGNORED_CHECKS = "SystemVerification,CreateJob"


class _Nodes(Cluster, NodeExec, BringsVersions, Protocol): ...


def path(start: str, built: Sequence[str], *, to: str = "", most: int) -> tuple[str, ...]:
    """The versions that an upgrade from `start` goes through, one minor version at a time; kubeadm skips none.

    `built` are the versions whose node images there are; of a minor version the newest is taken. Without `to` it goes
    on to the newest that can be reached in `most` steps. Raises OrdealError where it can't begin, or not reach `to`.
    """
    first, goal = Version(plain(start)), Version(normal_version(to)) if to else None
    there = sorted({Version(v): v for v in built}.items())
    if goal is not None and goal <= first:
        raise OrdealError(f"--ordeal-upgrade-to {to} is no upgrade: the cluster is made with {start}")
    steps: list[str] = []
    minor = first.minor if goal is not None and goal.minor == first.minor else first.minor + 1
    while goal is not None or len(steps) < most:
        found = [text for version, text in there if version.minor == minor and version.major == first.major]
        if goal is not None and goal.minor == minor:
            found = [text for version, text in there if version == goal]
        if not found and (goal is not None or not steps):
            raise OrdealError(_why_not(start, minor, to if goal is not None and goal.minor == minor else ""))
        if not found:
            break
        steps.append(found[-1])
        if goal is not None and goal.minor == minor:
            break
        minor += 1
    return tuple(steps)


def _why_not(start: str, minor: int, exactly: str) -> str:
    wanted = exactly or f"1.{minor}"
    return (
        f"an upgrade from {start} goes to {wanted}, and no node image of {wanted} is built here: "
        f"run `kube-ordeal image build --kubernetes {exactly or f'1.{minor}.PATCH'}`"
    )


class Upgrade:
    """One step of an upgrade: to `version`, which differs from the cluster's by one minor version at the most.

    Each method is one thing that an operator does, and what matters of it is written into the history.
    """

    def __init__(self, cluster: _Nodes, history: History, version: str, programs: str) -> None:
        """`programs`: the folder on each node that has the version's programs; see BringsVersions."""
        self.version = version
        self._cluster, self._history, self._programs = cluster, history, programs
        nodes = cluster.nodes()
        (self.control_plane,) = (n.name for n in nodes if n.control_plane)
        self.workers = tuple(n.name for n in nodes if not n.control_plane)

    def prepare(self) -> None:
        """What the version's release notes ask for first: kubelets from 1.35 on refuse cgroup v1 unless told not to.

        kubeadm takes each node's kubelet configuration from the ConfigMap kubelet-config, so it is changed there.
        """
        patches = [yaml.safe_load(patch) for patch in kind_config_patches(self.version)]
        if not patches:
            return
        with self._cluster.api() as client:
            core = k8s.CoreV1Api(client)
            found: Any = core.read_namespaced_config_map("kubelet-config", "kube-system")
            config = with_settings(found.data["kubelet"], patches)
            core.patch_namespaced_config_map("kubelet-config", "kube-system", {"data": {"kubelet": config}})

    def begin_apply(self) -> "Apply":
        """Start `kubeadm upgrade apply` on the control plane, with the version's own kubeadm."""
        self._install(self.control_plane, "kubeadm")
        return Apply(self._cluster, self._history, self.control_plane, self.version)

    def note_control_plane(self) -> None:
        """Ask the API server for its version and write it down. Raises WaitedInVainError where it does not answer."""

        def ask() -> str:
            with self._cluster.api() as client:
                return server_version(client)

        said = eventually(ask, within_s=ANSWERS_WITHIN_S, what="the API server to say its version")
        self._history.add(ControlPlaneVersion(self._history.now(), self.control_plane, said))

    def drain(self, *nodes: str) -> None:
        """`kubectl drain`: cordon, then evict. Raises WaitedInVainError where a pod can't be evicted in time."""
        self._kubectl(
            "drain", *nodes, "--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={DRAIN_WITHIN_S}s",
            timeout_s=DRAIN_WITHIN_S + 30,
        )  # fmt: skip

    def uncordon(self, *nodes: str) -> None:
        """`kubectl uncordon`."""
        self._kubectl("uncordon", *nodes, timeout_s=60)

    def upgrade_node(self, node: str) -> None:
        """`kubeadm upgrade node` on a worker, then on any node the new kubelet in the place of the old one."""
        if node != self.control_plane:
            self._install(node, "kubeadm")
            argv = ["kubeadm", "upgrade", "node", f"--ignore-preflight-errors={IGNORED_CHECKS}"]
            self._cluster.node_exec(node, argv, timeout_s=180)
        self._install(node, "kubelet", "kubectl")
        self._history.add(KubeletReplaced(self._history.now(), node, self.version))
        self._cluster.node_exec(node, ["systemctl", "restart", "kubelet"], timeout_s=60)

    def upgraded(self, *nodes: str) -> bool:
        """Whether each of the nodes is Ready now with the version's kubelet."""
        with self._cluster.api() as client:
            found: Any = k8s.CoreV1Api(client).list_node()
        done = {n.metadata.name for n in found.items if _runs(n, f"v{self.version}")}
        return set(nodes) <= done

    def _install(self, node: str, *names: str) -> None:
        """As a package does: by a rename, so that a program that runs keeps its file."""
        for name in names:
            script = f"cp {self._programs}/{name} /usr/bin/{name}.new && mv -f /usr/bin/{name}.new /usr/bin/{name}"
            self._cluster.node_exec(node, ["sh", "-ec", script], timeout_s=60)

    def _kubectl(self, *argv: str, timeout_s: float) -> None:
        """Where the API server is away it is asked again: a new kubelet starts the static pods anew, after its node
        was Ready. A drain that took its time is not made again.
        """
        kubectl = [f"{self._programs}/kubectl", "--kubeconfig", ADMIN]
        eventually(
            lambda: self._cluster.node_exec(self.control_plane, [*kubectl, *argv], timeout_s=timeout_s),
            within_s=API_BACK_WITHIN_S,
            what=f"kubectl {' '.join(argv[:2])} to succeed",
            every_s=1.0,
        )


class Apply:
    """A `kubeadm upgrade apply` that runs on a control-plane node, in a thread of its own."""

    def __init__(self, cluster: NodeExec, history: History, node: str, version: str) -> None:
        self._cluster, self._history, self._node, self._version = cluster, history, node, version
        self._succeeded: bool | None = None
        self._thread = threading.Thread(target=self._run, name="kubeadm-upgrade-apply", daemon=True)
        history.add(ApplyBegun(history.now(), node, version))
        self._thread.start()

    def wait_for_manifest(self, component: str, *, within_s: float) -> None:
        """Wait until it has put this version's manifest of a component in place, which is the middle of its work.

        Raises WaitedInVainError, OrdealError where it ended before that.
        """
        script = f"grep -q 'image: .*:v{self._version}$' {MANIFESTS}/{component}.yaml"

        def there() -> bool:
            return self._cluster.node_exec(self._node, ["sh", "-c", script], check=False).code == 0

        eventually(
            lambda: not self._thread.is_alive() or there(),
            within_s=within_s,
            what=f"kubeadm to upgrade {component}",
            every_s=0.3,
        )
        if not self._thread.is_alive():
            raise OrdealError(f"kubeadm upgrade apply v{self._version} ended before {component} was upgraded: {LOG}")
        self._history.add(ManifestPlaced(self._history.now(), self._node, component, self._version))

    def wait(self) -> bool:
        """Wait for its end; whether it succeeded."""
        self._thread.join(APPLY_WITHIN_S + 30)
        return bool(self._succeeded)

    def _run(self) -> None:
        # The log stays on the node, and outlives it.
        script = f"kubeadm upgrade apply v{self._version} --yes --ignore-preflight-errors={IGNORED_CHECKS} >{LOG} 2>&1"
        try:
            ended = self._cluster.node_exec(self._node, ["sh", "-c", script], timeout_s=APPLY_WITHIN_S, check=False)
            at = self._history.now()
            words = "" if ended.code == 0 else f"exit {ended.code}: {self._last_words()}"
            self._succeeded = ended.code == 0
        except OrdealError as error:
            at, words, self._succeeded = self._history.now(), str(error).splitlines()[0], False
        self._history.add(ApplyEnded(at, self._node, self._version, words))

    def _last_words(self) -> str:
        said = self._cluster.node_exec(self._node, ["tail", "-n", "3", LOG], check=False, timeout_s=20)
        words = " / ".join(said.out.strip().splitlines())[:500] if said.code == 0 else ""
        return words or "nobody is left to ask why"


def with_settings(config: str, patches: Sequence[Mapping[str, object]]) -> str:
    """A KubeletConfiguration, as YAML, with the settings of patches of the same kind in it."""
    merged = dict(yaml.safe_load(config))
    for patch in patches:
        merged |= {key: value for key, value in patch.items() if key not in {"apiVersion", "kind"}}
    return yaml.safe_dump(merged)


def _runs(node: Any, kubelet: str) -> bool:
    return bool(is_ready(node.status) and node.status.node_info.kubelet_version == kubelet)
