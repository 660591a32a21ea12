"""How an API server gets on with its start: both processes by the kernel, its hooks by itself."""

from contextlib import ExitStack
from types import TracebackType
from typing import Protocol, Self

from chaos.clusters.base import Cluster
from chaos.clusters.control_processes import ControlProcesses, EtcdWrites
from chaos.record.history import History
from chaos.record.sampler import Gap, Sampler
from chaos.subjects.slow_start.asking import APISERVER, last_words, readiness
from chaos.subjects.slow_start.faults import etcd_state, state_of
from chaos.subjects.slow_start.records import ControlPlaneProcesses, StartHooks

PROCESSES = "control-plane-processes"
EVERY_S, LATE_AFTER_S = 0.5, 5.0


class _Own(Cluster, ControlProcesses, EtcdWrites, Protocol): ...


class StartSamples:
    """Asks for both, twice a second, for as long as the block lasts.

    That the API server says nothing of itself is no gap: it has just begun, or has ended. Its process tells.
    """

    def __init__(self, history: History, cluster: _Own) -> None:
        self._history, self._cluster = history, cluster
        self._gap = Gap(history, PROCESSES, late_after_s=LATE_AFTER_S)
        self._both = (
            Sampler("start-processes", self._look, every_s=EVERY_S, gaps=(self._gap,), once_more=True),
            Sampler("start-hooks", self._ask, every_s=EVERY_S),
        )
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for each in self._both:
            self._stack.enter_context(each)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def _look(self) -> None:
        process = self._cluster.control_process(APISERVER)
        apiserver, etcd = state_of(self._cluster, APISERVER), etcd_state(self._cluster)
        now = self._history.now()
        hook, words = last_words(self._cluster.control_log(APISERVER)) if apiserver == "gone" else ("", "")
        pid = 0 if process is None else process.pid
        seen = ControlPlaneProcesses(now, pid, apiserver, etcd, hook, words)
        self._history.add(seen)
        self._gap.seen(now)

    def _ask(self) -> None:
        said = readiness(self._cluster)
        self._history.add(StartHooks(self._history.now(), said.ready, said.pending, said.etcd))
