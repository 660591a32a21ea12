"""Asks the API server once a second, as a dry run, for what it must admit whatever webhooks do."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self

from kubernetes import client as k8s
from kubernetes.client import ApiClient

from chaos.record.history import History
from chaos.record.sampler import Gap, Sampler
from chaos.subjects.webhooks.configured import NAME, NODE_LEASES, NODES, SYSTEM
from chaos.subjects.webhooks.faults import admits, refused
from chaos.subjects.webhooks.records import GAP_S, Admission, Request

EVERY_S = 1.0
FIRST_WITHIN_S = 60.0


class Admissions:
    """Asks for as long as the block lasts, also about the lease of `node`. A time without an answer is Blind.

    `asked`: a namespace that the webhook is asked about, in which the node asks for a pod; "": it asks for none.
    """

    def __init__(self, history: History, client: Callable[[], ApiClient], node: str, asked: str = "") -> None:
        self._history, self._client, self._node, self._asked = history, client, node, asked
        self._gap = Gap(history, Admission.kind, late_after_s=GAP_S)
        self._sampling = ExitStack()

    def __enter__(self) -> Self:
        """Raises WaitedInVainError where the first answers do not come."""
        with ExitStack() as stack:
            client, as_node = (stack.enter_context(self._client()) for _ in range(2))
            as_node.set_default_header("Impersonate-User", f"system:node:{self._node}")
            as_node.set_default_header("Impersonate-Group", NODES)
            sampler = Sampler("admissions", lambda: self._ask(client, as_node), every_s=EVERY_S, gaps=[self._gap])
            stack.enter_context(sampler).wait_first("requests to be answered", within_s=FIRST_WITHIN_S)
            self._sampling = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampling.close()

    def _ask(self, client: ApiClient, as_node: ApiClient) -> None:
        at = self._history.now()
        self._add(Request.SYSTEM_POD, admitted=admits(client, SYSTEM))
        leases: Any = k8s.CoordinationV1Api(client).patch_namespaced_lease
        change = {"metadata": {"annotations": {"kube-ordeal/tried": "as a dry run"}}}
        ask = partial(leases, self._node, NODE_LEASES, change, dry_run="All")
        self._add(Request.NODE_LEASE, admitted=not refused(ask))
        webhooks: Any = k8s.AdmissionregistrationV1Api(client).patch_validating_webhook_configuration
        self._add(Request.CONFIGURATION, admitted=not refused(partial(webhooks, NAME, change, dry_run="All")))
        if self._asked:
            self._add(Request.NODE_POD, admitted=admits(as_node, self._asked))
        self._gap.seen(at)

    def _add(self, request: Request, *, admitted: bool) -> None:
        self._history.add(Admission(self._history.now(), request, admitted))
