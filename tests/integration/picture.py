"""A cluster's nodes as the kernel, the engine, the disk and the API show them: to be compared before and after."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from chaos.basics.waiting import eventually
from chaos.clusters.kind.cluster import KindCluster
from chaos.clusters.way.client import raw_get
from chaos.hosts.command import run
from tests.comparing import settled

# The inside of a node in one question, a section each. What changes by itself (counters, pods' mounts) is left out.
LOOK = """
echo '== hostname'; hostname; cat /etc/hostname
echo '== limits'
for name in containerd kubelet kube-proxy flanneld coredns; do
    for pid in $(pidof $name); do echo "$name $(grep 'Max open files' /proc/$pid/limits)"; done
done | sort
echo '== states'
for name in containerd kubelet; do
    for pid in $(pidof $name); do echo "$name $(cut -d' ' -f3 /proc/$pid/stat)"; done
done | sed 's/[RSD]$/alive/'
echo '== mounts'; findmnt -rno TARGET,FSTYPE | grep -v -e /pods/ -e /run/ -e /io.containerd | sort
echo '== files'
sha256sum /usr/bin/kubelet /usr/bin/containerd /var/lib/kubelet/config.yaml /var/lib/kubelet/kubeadm-flags.env
sha256sum /etc/kubernetes/kubelet.conf /etc/hosts
stat -c '%n %a %U:%G' /usr/bin/kubelet /var/lib/kubelet/config.yaml /var/lib/kubelet/kubeadm-flags.env
ls -A /etc/systemd/system/kubelet.service.d /var/lib/containerd /run/kube-ordeal 2>/dev/null
ls -A /var/lib/kubelet | grep -v -e '^pods$' -e cpu_manager -e memory_manager
echo '== semaphores'; cut -c1-40 /proc/sysvipc/sem
echo '== sysctl'; cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/fs/file-max
"""
NODE_TAINTS = "node.kubernetes.io/"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
DAEMON_SETS = "/apis/apps/v1/namespaces/kube-system/daemonsets"


@dataclass(frozen=True)
class Picture:
    """By node; `priorities`: the priority class of each DaemonSet in kube-system."""

    ready: dict[str, str]
    taints: dict[str, tuple[str, ...]]
    power: dict[str, tuple[str, str]]
    rules: dict[str, str]
    routes: dict[str, str]
    inside: dict[str, str]
    priorities: dict[str, str]


def unsound(ready: Mapping[str, str], taints: Mapping[str, tuple[str, ...]]) -> str:
    """What is wrong with nodes by their readiness and taints; empty where nothing is. A taint of a node that was away
    is taken off it a while after it is Ready again.
    """
    away = [name for name, state in ready.items() if state != "True"]
    tainted = [f"{name} {taint}" for name, each in taints.items() for taint in each if taint.startswith(NODE_TAINTS)]
    return "; ".join([*(f"{name} is not Ready" for name in away), *tainted])


def wait_in_touch(cluster: KindCluster) -> None:
    """Wait until every kubelet has renewed its lease once more.

    Until the grace period is over a node that is away looks Ready: a comparison without this ends too early, and the
    next test begins with a node that goes away by itself.
    """

    def renewed() -> dict[str, str]:
        with cluster.api() as client:
            leases = msgspec.json.decode(raw_get(client, LEASES))["items"]
        return {lease["metadata"]["name"]: lease["spec"]["renewTime"] for lease in leases}

    before, nodes = renewed(), [n.name for n in cluster.nodes()]

    def all_have() -> bool:
        now = renewed()
        return all(name in now and now[name] != before.get(name) for name in nodes)

    eventually(all_have, within_s=300, what="every kubelet to renew its lease", every_s=1.0)


def picture_of_still(cluster: KindCluster) -> Picture:
    """The picture once every node is Ready, no taint of an earlier harm is left, and nothing changes any more."""
    return settled(lambda: picture(cluster), lambda now: unsound(now.ready, now.taints))


def picture(cluster: KindCluster) -> Picture:
    """Look at every node now. Raises OrdealError where a node or the API does not answer."""
    nodes = cluster.nodes()
    names = [n.name for n in nodes]

    def inside(node: str, *argv: str) -> str:
        return run(cluster.in_network_of(node, argv), timeout_s=20).out

    with cluster.api() as client:
        sets = msgspec.json.decode(raw_get(client, DAEMON_SETS))["items"]
    return Picture(
        ready={n.name: n.ready for n in nodes},
        taints={n.name: n.taints for n in nodes},
        power={n: (cluster.power_state(n), cluster.address(n)) for n in names},
        rules={n: inside(n, "iptables", "-S", "INPUT") + inside(n, "ip6tables", "-S") for n in names},
        routes={n: "\n".join(sorted(inside(n, "ip", "route").splitlines())) for n in names},
        inside={n: cluster.node_exec(n, ["sh", "-c", LOOK], timeout_s=60).out for n in names},
        priorities={s["metadata"]["name"]: s["spec"]["template"]["spec"].get("priorityClassName", "") for s in sets},
    )
