"""A cluster that no tool made: containers with systemd, and kubeadm on each by hand. Nothing in it names kind.

Its default lets only restricted pods in, its pods hang on their nodes as in tests/integration/foreign.py, and one of
its workers is a team's own, by a taint.
"""

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from chaos.basics.waiting import eventually
from chaos.clusters.existing.cluster import attach_by_api
from chaos.clusters.kind import docker, networks
from chaos.clusters.kind.config import POD_SUBNET, SERVICE_SUBNET
from chaos.clusters.kind.ready import kind_setup
from chaos.clusters.shape import Shape
from chaos.hosts import engine
from chaos.hosts.command import run
from chaos.hosts.image_build import WORKLOAD_IMAGE
from tests.integration.foreign import give_pod_network

CONTROL_PLANE, WORKERS, SET_ASIDE = "alder", ("birch", "cedar", "dogwood"), "dogwood"
TAINT = "team=trees:NoSchedule"
TOKEN = "abcdef.0123456789abcdef"  # of kubeadm, on a network of its own
BOOTED_WITHIN_S, JOINED_WITHIN_S, READY_WITHIN_S = 120.0, 600.0, 600.0
CONFIG, ADMISSION = "/kubeadm.yaml", "/etc/kubernetes/admission.yaml"
ADMIN = "/etc/kubernetes/admin.conf"


@dataclass(frozen=True)
class ByHand:
    """The cluster: its administrator's kubeconfig, and its nodes from outside."""

    kubeconfig: Path
    control_plane: str = CONTROL_PLANE
    workers: tuple[str, ...] = WORKERS

    @property
    def nodes(self) -> tuple[str, ...]:
        return (self.control_plane, *self.workers)

    def sh(self, node: str, script: str) -> str:
        return docker.execute(node, ["sh", "-c", script], timeout_s=60, check=False, stdin=None).out

    def kubectl(self, *argv: str) -> str:
        command = ["kubectl", f"--kubeconfig={ADMIN}", *argv]
        return docker.execute(self.control_plane, command, timeout_s=60, check=True, stdin=None).out

    def load(self, image: str) -> None:
        """Put an image of this machine's engine onto each node."""
        load(self.nodes, image)


@contextmanager
def byhand_cluster(version: str, work: Path) -> Iterator[ByHand]:
    """One control plane and three workers, all Ready; nothing of it is left at the block's end."""
    image, running = kind_setup(version).node_image or "", engine.chosen()
    with ExitStack() as stack:
        stack.callback(networks.remove, "byhand")
        network = networks.make("byhand", print)
        for name in (CONTROL_PLANE, *WORKERS):
            stack.callback(running.docker, "rm", "--force", "--volumes", name, check=False, timeout_s=120)
            running.docker("run", *run_options(name, network), image, timeout_s=120)
        for name in (CONTROL_PLANE, *WORKERS):
            _wait_booted(name)
        address = docker.inspect(CONTROL_PLANE).address
        _sh(CONTROL_PLANE, f"mkdir -p /etc/kubernetes && cat > {ADMISSION}", stdin=json.dumps(restricted()))
        kubeadm(CONTROL_PLANE, "init", init_config(version, address))
        for name in WORKERS:
            kubeadm(name, "join", join_config(docker.inspect(name).address, address))
        kubeconfig = work / "byhand.kubeconfig"
        kubeconfig.write_text(_sh(CONTROL_PLANE, f"cat {ADMIN}"))
        give_pod_network(kubeconfig)
        made = ByHand(kubeconfig)
        made.kubectl("taint", "node", SET_ASIDE, TAINT)
        cluster = attach_by_api(kubeconfig, "", Shape(), WORKLOAD_IMAGE)

        def is_ready() -> bool:
            return [each.ready for each in cluster.nodes()] == ["True"] * len(made.nodes)

        eventually(is_ready, within_s=READY_WITHIN_S, what="every node to be Ready", every_s=1.0)
        yield made


def run_options(name: str, network: str) -> list[str]:
    """Those of `docker run` for a container whose first process is systemd."""
    security = [f"--security-opt={each}" for each in ("seccomp=unconfined", "apparmor=unconfined", "label=disable")]
    mounts = ["--tmpfs=/tmp", "--tmpfs=/run", "--volume=/var", "--volume=/lib/modules:/lib/modules:ro"]
    named = [f"--name={name}", f"--hostname={name}", f"--network={network}"]
    return ["--detach", "--tty", "--privileged", "--cgroupns=private", *named, *security, *mounts]


def load(nodes: Sequence[str], image: str) -> None:
    """Put an image of this machine's engine into the runtime of each node."""
    saved = shlex.join(engine.chosen().argv("save", image))
    for name in nodes:
        into = shlex.join(docker.interactive(name, ["ctr", "--namespace=k8s.io", "images", "import", "-"]))
        run(["sh", "-ec", f"{saved} | {into}"], timeout_s=300)


def kubeadm(node: str, verb: str, documents: list[dict[str, object]]) -> None:
    """`kubeadm init` or `join` with such a config. Raises CommandError with what it said."""
    _sh(node, f"cat > {CONFIG}", stdin=yaml.safe_dump_all(documents))
    argv = ["kubeadm", verb, f"--config={CONFIG}", "--ignore-preflight-errors=all"]
    docker.execute(node, argv, timeout_s=JOINED_WITHIN_S, check=True, stdin=None)


def init_config(version: str, address: str) -> list[dict[str, object]]:
    """Of the first node, and of all kubelets and kube-proxies."""
    args = [{"name": "admission-control-config-file", "value": ADMISSION}]
    volume = {"name": "admission", "hostPath": ADMISSION, "mountPath": ADMISSION, "readOnly": True, "pathType": "File"}
    return [
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "InitConfiguration",
            "bootstrapTokens": [{"token": TOKEN}],
            "localAPIEndpoint": {"advertiseAddress": address, "bindPort": 6443},
            "nodeRegistration": _registration(address),
        },
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "ClusterConfiguration",
            "clusterName": "trees",
            "kubernetesVersion": f"v{version}",
            "controlPlaneEndpoint": f"{address}:6443",
            "networking": {"podSubnet": POD_SUBNET, "serviceSubnet": SERVICE_SUBNET},
            "apiServer": {"extraArgs": args, "extraVolumes": [volume]},
        },
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "cgroupDriver": "systemd",
            "cgroupRoot": "/kubelet",
            "failSwapOn": False,
            "failCgroupV1": False,
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"imagefs.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%"},
        },
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "conntrack": {"maxPerCore": 0},
        },
    ]


def join_config(own: str, address: str) -> list[dict[str, object]]:
    """Of each other node."""
    reached = {"apiServerEndpoint": f"{address}:6443", "token": TOKEN, "unsafeSkipCAVerification": True}
    return [
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "JoinConfiguration",
            "discovery": {"bootstrapToken": reached},
            "nodeRegistration": _registration(own),
        }
    ]


def restricted() -> dict[str, object]:
    """The API server's admission: restricted pods alone, but in kube-system (KEP-2579)."""
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [
            {
                "name": "PodSecurity",
                "configuration": {
                    "apiVersion": "pod-security.admission.config.k8s.io/v1",
                    "kind": "PodSecurityConfiguration",
                    "defaults": {"enforce": "restricted", "enforce-version": "latest"},
                    "exemptions": {"namespaces": ["kube-system"]},
                },
            }
        ],
    }


def _registration(address: str) -> dict[str, object]:
    return {
        "criSocket": "unix:///run/containerd/containerd.sock",
        "kubeletExtraArgs": [{"name": "node-ip", "value": address}],
    }


def _wait_booted(name: str) -> None:
    def is_up() -> bool:
        return docker.execute(name, ["ctr", "version"], timeout_s=20, check=False, stdin=None).code == 0

    eventually(is_up, within_s=BOOTED_WITHIN_S, what=f"the runtime of {name} to answer", every_s=0.5)


def _sh(node: str, script: str, *, stdin: str | None = None) -> str:
    return docker.execute(node, ["sh", "-ec", script], timeout_s=60, check=True, stdin=stdin).out
