"""Looks at all that is due, twice a second, until it is done."""

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import msgspec
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException

from chaos.clusters.way.client import raw_get, raw_list
from chaos.record.history import History
from chaos.record.sampler import Gap, Sampler
from chaos.subjects.garbage.faults import CONVERSION_ERROR, GROUP, PLURAL, SERVED, answer
from chaos.subjects.garbage.records import GAP_S, Due, Look, What, Why
from chaos.workloads.base import WORKLOAD_LABEL

EVERY_S = 0.5
FIRST_WITHIN_S = 30.0
# The conditions of a namespace that does not end. Source: kubernetes/pkg/controller/namespace/deletion,
# status_condition_utils.go.
_DISCOVERY, _CONTENT = "NamespaceDeletionDiscoveryFailure", "NamespaceDeletionContentFailure"


class Looks:
    """Looks for as long as the block lasts. Where no answer comes there is a Blind record until the next one."""

    def __init__(self, history: History, client: Callable[[], ApiClient]) -> None:
        self._history, self._client = history, client
        self._done: set[Due] = set()
        self._gap = Gap(history, Look.kind, late_after_s=GAP_S)
        self._sampling = ExitStack()

    def __enter__(self) -> Self:
        """Raises WaitedInVainError where the API server does not answer."""
        with ExitStack() as stack:
            client = stack.enter_context(self._client())
            sampler = Sampler("garbage", lambda: self._ask(client), every_s=EVERY_S, gaps=[self._gap])
            stack.enter_context(sampler).wait_first("a look at what is due", within_s=FIRST_WITHIN_S)
            self._sampling = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampling.close()

    def _ask(self, client: ApiClient) -> None:
        at = self._history.now()
        due = [each for each in self._history.of(Due) if each.at <= at and each not in self._done]
        for each in due:
            asked = self._history.now()
            done, why = _look(client, each)
            # It was not so when it was asked, or is so by now: an answer that takes long blames nobody, nor spares him.
            self._history.add(Look(self._history.now() if done else asked, each.what, each.name, done, why))
            if done:
                self._done.add(each)
        self._gap.seen(at)


def _look(client: ApiClient, due: Due) -> tuple[bool, Why]:
    """Whether it is done, and where it is not, why."""
    namespace, _, name = due.name.partition("/")
    if due.what is What.PODS:
        path = f"/api/v1/namespaces/{namespace}/pods?labelSelector={WORKLOAD_LABEL.replace('/', '%2F')}%3D{name}"
        return not raw_list(client, path), Why.NOTHING
    if due.what is What.JOB:
        return _read(client, f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}") is None, Why.NOTHING
    if due.what is What.QUOTA:
        quota = _read(client, f"/api/v1/namespaces/{namespace}/resourcequotas/{name}") or {}
        status = quota.get("status") or {}
        hard = quota.get("spec", {}).get("hard", {})
        return hard.keys() == (status.get("used") or {}).keys() and hard == status.get("hard"), Why.NOTHING
    space = _read(client, f"/api/v1/namespaces/{name}")
    return (True, Why.NOTHING) if space is None else (False, _why(client, name, space))


def _read(client: ApiClient, path: str) -> dict[str, Any] | None:
    """What is at a path; None where nothing is."""
    try:
        found: dict[str, Any] = msgspec.json.decode(raw_get(client, path))
    except ApiException as error:
        if error.status == 404:
            return None
        raise
    return found


def _why(client: ApiClient, name: str, space: dict[str, Any]) -> Why:
    """The namespace controller itself says nothing for minutes while it is told to ask again later. So we list what it
    has to list: by pages, which come from etcd, for what is in that namespace, and whole, as it does.
    """
    listed = f"/apis/{GROUP}/{SERVED}/namespaces/{name}/{PLURAL}"
    if CONVERSION_ERROR in answer(client, f"{listed}?limit=1")[1]:
        return Why.CONVERSION
    if CONVERSION_ERROR in answer(client, listed)[1]:
        return Why.LIST
    conditions = (space.get("status") or {}).get("conditions") or ()
    failing = {each["type"] for each in conditions if each["status"] == "True"}
    if _DISCOVERY in failing:
        return Why.DISCOVERY
    return Why.CONTENT if _CONTENT in failing else Why.NOTHING
