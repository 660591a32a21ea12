"""A node's kubelet and containers, as its kernel has them, and the pods that the kubelet says it has."""

import re
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from kubernetes.client import ApiClient

from chaos.clusters.abilities import NodeExec
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import raw_list
from chaos.record.history import History
from chaos.record.sampler import Gap, Sampler
from chaos.subjects.kubelets.records import GAP_S, SOURCE, KubeletPods, KubeletProcess, NodeContainers, RunningContainer

EVERY_S = 1.0
FIRST_WITHIN_S = 30.0
ASKED_WITHIN_S = 3.0
# The first process of each container is 1 in a namespace below the node's (NSpid in proc_pid_status(5)); its group has
# the pod's uid and the container's id in its name, whatever the cgroup driver. Then the kubelet's own line.
LOOK = r"""
pids=$(grep -l -s -E '^NSpid:[[:blank:]]+[0-9]+[[:blank:]]+1$' /proc/[0-9]*/status | cut -d / -f 3)
for pid in $pids; do set -- "$@" "/proc/$pid/cgroup"; done
[ $# = 0 ] || grep -H -s -m 1 -o -E 'pod[0-9a-f_-]{32,36}.*[0-9a-f]{64}' "$@"
kubelet=$(systemctl show --property MainPID --value kubelet)
echo "kubelet $kubelet $(sed 's/.*) //' "/proc/$kubelet/stat" 2>/dev/null | cut -d ' ' -f 20)"
"""
_LINE = re.compile(r"/proc/(\d+)/cgroup:pod([0-9a-f_-]{32,36}).*?([0-9a-f]{64})")


class KubeletSamples:
    """Looks at one node each second for as long as the block lasts, and asks its kubelet for its pods.

    While the node does not answer there is a Blind record "containers:NODE". A kubelet that does not answer is none:
    it is restarted.
    """

    def __init__(self, history: History, cluster: Cluster, node: str) -> None:
        self._history, self._cluster, self._node = history, cluster, node
        self._gap = Gap(history, f"{SOURCE}:{node}", late_after_s=GAP_S)
        self._sampling = ExitStack()
        self._kubelet: tuple[int, int] | None = None
        self._containers: tuple[RunningContainer, ...] | None = None
        self._pods: tuple[int, tuple[str, ...]] | None = None

    def __enter__(self) -> Self:
        """Raises WaitedInVainError where the node can't be looked at."""
        with ExitStack() as stack:
            client = stack.enter_context(self._cluster.api())
            looks = Sampler(f"containers-{self._node}", self._look, every_s=EVERY_S, gaps=[self._gap], once_more=True)
            what = f"a first look at the containers of {self._node}"
            stack.enter_context(looks).wait_first(what, within_s=FIRST_WITHIN_S)
            stack.enter_context(Sampler(f"pods-{self._node}", lambda: self._ask(client), every_s=EVERY_S))
            self._sampling = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampling.close()

    def _look(self) -> None:
        assert isinstance(self._cluster, NodeExec)
        containers, kubelet = look(self._cluster, self._node)
        at = self._history.now()
        self._gap.seen(at)
        if kubelet != self._kubelet:
            self._kubelet = kubelet
            self._history.add(KubeletProcess(at, self._node, *kubelet))
        if containers != self._containers:
            self._containers = containers
            self._history.add(NodeContainers(at, self._node, containers))

    def _ask(self, client: ApiClient) -> None:
        before = self._kubelet
        found = raw_list(client, f"/api/v1/nodes/{self._node}/proxy/pods", ASKED_WITHIN_S)
        if before is None or before != self._kubelet or not before[0]:
            return  # which of the two has answered nobody knows
        pods = tuple(sorted(f"{each['metadata'].get('namespace')}/{each['metadata']['name']}" for each in found))
        if (before[1], pods) != self._pods:
            self._pods = (before[1], pods)
            self._history.add(KubeletPods(self._history.now(), self._node, before[1], pods))


def look(cluster: NodeExec, node: str) -> tuple[tuple[RunningContainer, ...], tuple[int, int]]:
    """The containers that run on a node, and its kubelet's pid and start in clock ticks, both 0 where there is none.

    Raises CommandError, and ValueError where the node says something else.
    """
    *lines, last = cluster.node_exec(node, ["sh", "-c", LOOK, "look"], timeout_s=15).out.strip().splitlines()
    found = (_LINE.match(line) for line in lines)
    containers = (RunningContainer(m[2].replace("_", "-"), m[3], int(m[1])) for m in found if m is not None)
    who, pid, *start = last.split()
    if who != "kubelet":
        raise ValueError(f"{node} said {last[:80]!r} where its kubelet was asked for")
    kubelet = (int(pid), int(start[0])) if start and int(pid) else (0, 0)
    return tuple(sorted(containers, key=lambda c: c.id)), kubelet
