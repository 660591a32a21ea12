"""Holds a run to what the owner of an existing cluster allows: asked before each harm, and watched while it lasts.

What ends harm in the middle comes to the main thread as an interrupt, so that everything is taken back in the order in
which it was done; what was recorded by then is unknown.
"""

import json
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Protocol
from urllib.parse import urlencode

import urllib3
from kubernetes import client as k8s
from kubernetes.client import ApiClient, ApiException
from urllib3.exceptions import HTTPError

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.identity import named_in
from chaos.clusters.way.client import CONTROL_PLANE_LABEL, FAILURES, SYSTEM, is_ready, raw_get, told
from chaos.errors import OrdealError
from chaos.run import policy
from chaos.run.claim import HARMED
from chaos.run.claim import NAME as LEASE
from chaos.run.deadline import TimedOutError
from chaos.run.policy import Condition, Consent, NodeToHarm, Policy

LOOK_EVERY_S = 1.0
ANSWER_WITHIN_S, ENDS_WITHIN_S = 5.0, 10.0
NOT_FOUND, EXISTS = 404, 409
STOP = signal.SIGUSR1  # what the watch wakes the main thread with


class StoppedError(TimedOutError):
    """The owner's guard ends the harm: an interrupt, so that nothing that asks again after an error goes on."""


class RefusedError(OrdealError):
    """The owner does not allow this harm: the replay is skipped with this reason."""


class Consents(Protocol):
    """Who is asked before harm is done."""

    def require(self) -> None:
        """Raise OrdealError where nothing may be harmed now."""
        ...

    def allowed(self) -> frozenset[str] | None:
        """The nodes that may be harmed; None: every one. Raises OrdealError where nobody says so."""
        ...

    def harming(self, incident: str, fault: str, saved: object) -> AbstractContextManager[None]:
        """Around the harm, from before the first step until it is taken back. `saved`: the plan, as the journal has it.

        Raises RefusedError where it is not allowed, OrdealError where nothing is now, StoppedError where it must end.
        """
        ...


class Anything:
    """On clusters that are made here nobody else is asked."""

    def require(self) -> None:
        """Nothing is refused."""

    def allowed(self) -> frozenset[str] | None:
        """None: every node."""
        return None

    @contextmanager
    def harming(self, incident: str, fault: str, saved: object) -> Iterator[None]:  # noqa: ARG002
        yield


class Guard:
    """The owner's word, of one cluster."""

    def __init__(self, connect: Callable[[], ApiClient], stopped: Callable[[str], None] = lambda _: None) -> None:
        """`stopped` is told why, from a thread, once harm has to end: nothing more is to be begun."""
        self._connect, self._stopped = connect, stopped
        self._harmed: dict[int, frozenset[str]] = {}
        self._why = ""

    def require(self) -> None:
        """Raise OrdealError where nothing may be harmed now."""
        consent = read(self._connect)
        if why := consent.stops(datetime.now(UTC)):
            raise OrdealError(why)

    def allowed(self) -> frozenset[str] | None:
        """As Consents says."""
        self.require()
        with self._connect() as client:
            policy_now = _consent(client).policy
            return frozenset(
                each.name for each in _nodes(client) if policy_now is not None and not policy_now.refuses(each)
            )

    @contextmanager
    def harming(self, incident: str, fault: str, saved: object) -> Iterator[None]:
        """As Consents says."""
        mine = self._permitted(incident, fault, saved)
        key = object()
        is_first = not self._harmed
        self._harmed[id(key)] = mine
        self._tell()
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(over,), name="guard", daemon=True)
        before = signal.signal(STOP, self._end) if is_first and _is_main() else None
        try:
            if is_first:
                watch.start()
            yield
        finally:
            over.set()
            del self._harmed[id(key)]
            self._tell()
            if before is not None:
                watch.join(ANSWER_WITHIN_S)
                signal.signal(STOP, before)

    def _permitted(self, incident: str, fault: str, saved: object) -> frozenset[str]:
        with self._connect() as client:
            consent = _consent(client)
            nodes = {each.name: each for each in _nodes(client)}
            named = named_in(saved, set(nodes))
            why = consent.refuses(
                incident,
                fault,
                [nodes[each] for each in sorted(named)],
                _namespaces(saved),
                harmed=frozenset().union(*self._harmed.values()),
                of=len(nodes),
                at=datetime.now(UTC),
            )
            ends = consent.stops(datetime.now(UTC)) or _broken(client, consent.policy)
        if ends:
            raise OrdealError(f"{fault} is not done: {ends}")
        if why:
            raise RefusedError(f"{fault} is not done: {why}")
        return named

    def _tell(self) -> None:
        """Let whoever halts know which nodes are harmed. Where the API server is away, nobody can be told."""
        body: Any = {"metadata": {"annotations": {HARMED: ",".join(sorted(frozenset().union(*self._harmed.values())))}}}
        with suppress(*FAILURES), self._connect() as client:
            k8s.CoordinationV1Api(client).patch_namespaced_lease(LEASE, SYSTEM, body, _request_timeout=ANSWER_WITHIN_S)

    def _watch(self, over: threading.Event) -> None:
        """Where the API server does not answer, it may be what the harm took away: that alone ends nothing."""
        while not over.wait(LOOK_EVERY_S):
            try:
                with self._connect() as client:
                    consent = _consent(client)
                    why = consent.stops(datetime.now(UTC)) or _broken(client, consent.policy)
            except (ApiException, HTTPError):
                continue
            except OrdealError as error:
                why = str(error)
            if why and not over.is_set():
                self._why = why
                self._stopped(why)
                signal.pthread_kill(threading.main_thread().ident or 0, STOP)
                return

    def _end(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  (a handler is called with both)
        raise StoppedError(f"stopped: {self._why}")


def read(connect: Callable[[], ApiClient]) -> Consent:
    """What the owner says now. Raises OrdealError where that can't be read."""
    with connect() as client:
        try:
            return _consent(client)
        except (ApiException, HTTPError) as error:
            raise OrdealError(f"the cluster's guard can't be read: {told(error)}") from error


def write(connect: Callable[[], ApiClient], wanted: Policy, *, replace: bool) -> None:
    """Put the guard into the cluster. Raises OrdealError where there is one and it is not to be replaced."""
    body: Any = {"metadata": {"name": policy.NAME}, "data": {policy.POLICY: policy.written(wanted)}}
    with connect() as client:
        core = k8s.CoreV1Api(client)
        try:
            core.create_namespaced_config_map(SYSTEM, body)
        except ApiException as error:
            if error.status != EXISTS:
                raise OrdealError(f"the guard can't be written: {told(error)}") from error
            if not replace:
                raise OrdealError(
                    f"the cluster has a guard already: `kubectl --namespace {SYSTEM} edit configmap {policy.NAME}`, or "
                    f"give --replace"
                ) from error
            core.replace_namespaced_config_map(policy.NAME, SYSTEM, body)


def halt(connect: Callable[[], ApiClient], *, on: bool) -> None:
    """Set, or take back, the flag that ends all harm. Raises OrdealError where the cluster has no guard."""
    with connect() as client:
        try:
            patch: Any = {"data": {policy.HALT: "true" if on else "false"}}
            k8s.CoreV1Api(client).patch_namespaced_config_map(policy.NAME, SYSTEM, patch)
        except ApiException as error:
            missing = (
                "there is no guard in the cluster, so nothing may be harmed there" if error.status == NOT_FOUND else ""
            )
            raise OrdealError(missing or f"the guard can't be changed: {told(error)}") from error


def ended(connect: Callable[[], ApiClient], within_s: float = ENDS_WITHIN_S) -> tuple[str, ...]:
    """After a halt: what became of the nodes that were harmed, a sentence each. Waits up to `within_s`.

    Raises OrdealError where the API server does not answer.
    """
    before = _harmed(connect)
    if before is None:
        return ("no run has this cluster",)
    with suppress(WaitedInVainError):
        eventually(lambda: not _harmed(connect), within_s=within_s, what="all harm to be undone", every_s=0.5)
    after = _harmed(connect) or frozenset()
    told_of = [f"undone on {each}" for each in sorted(before - after)]
    told_of += [f"not undone yet on {each}: its agent, where it has one, does it by itself" for each in sorted(after)]
    return tuple(told_of) or ("no node was harmed",)


def _harmed(connect: Callable[[], ApiClient]) -> frozenset[str] | None:
    """The nodes that the run of this cluster harms now, as it says; None where no run has it."""
    with connect() as client:
        try:
            lease: Any = k8s.CoordinationV1Api(client).read_namespaced_lease(LEASE, SYSTEM)
        except (ApiException, HTTPError) as error:
            if isinstance(error, ApiException) and error.status == NOT_FOUND:
                return None
            raise OrdealError(f"it can't be asked what is harmed: {told(error)}") from error
    return frozenset(filter(None, (lease.metadata.annotations or {}).get(HARMED, "").split(",")))


def _consent(client: ApiClient) -> Consent:
    """Raises ApiException, HTTPError; OrdealError for a guard that can't be read."""
    try:
        found = json.loads(raw_get(client, f"/api/v1/namespaces/{SYSTEM}/configmaps/{policy.NAME}", ANSWER_WITHIN_S))
    except ApiException as error:
        if error.status == NOT_FOUND:
            return Consent(None)
        raise
    return policy.consent_of(found.get("data") or {})


def _nodes(client: ApiClient) -> list[NodeToHarm]:
    items: list[Any] = k8s.CoreV1Api(client).list_node().items
    return [
        NodeToHarm(each.metadata.name, each.metadata.labels or {}, CONTROL_PLANE_LABEL in (each.metadata.labels or {}))
        for each in items
    ]


def _namespaces(saved: object) -> frozenset[str]:
    """The namespaces that a plan names, in fields of that name."""
    if isinstance(saved, Mapping):
        mine = {str(value) for key, value in saved.items() if key == "namespace" and value}
        return frozenset(mine).union(*(_namespaces(each) for each in saved.values()))
    if isinstance(saved, Collection) and not isinstance(saved, str | bytes):
        return frozenset().union(*(_namespaces(each) for each in saved))
    return frozenset()


def _broken(client: ApiClient, wanted: Policy | None) -> str:
    """Which of the owner's conditions ends all harm now, and how; "" where none does. One that can't be asked does."""
    for each in wanted.stop if wanted is not None else ():
        try:
            why = _ends(client, each)
        except (*FAILURES, OSError, ValueError, KeyError, TypeError) as error:
            why = f"it can't be asked: {told(error)}"
        if why:
            return f"the guard's condition {_named(each)} ends all harm: {why}"
    return ""


def _ends(client: ApiClient, condition: Condition) -> str:
    match condition:
        case policy.Url():
            status = _fetched(condition.url).status
            return "" if 200 <= status < 300 else f"HTTP {status}"
        case policy.Query():
            url = f"{condition.url.rstrip('/')}/api/v1/query?{urlencode({'query': condition.query})}"
            found = json.loads(_fetched(url).data)["data"]["result"]
            return f"it finds {json.dumps(found)[:200]}" if found else ""
        case policy.PodsReady():
            pods: list[Any] = k8s.CoreV1Api(client).list_namespaced_pod(condition.namespace).items
            not_ready = [p.metadata.name for p in pods if p.status.phase != "Succeeded" and not is_ready(p.status)]
            return f"not Ready: {', '.join(not_ready[:5])}" if not_ready else ""


def _fetched(url: str) -> urllib3.BaseHTTPResponse:
    with urllib3.PoolManager(retries=False, timeout=ANSWER_WITHIN_S) as pool:
        return pool.request("GET", url)


def _named(condition: Condition) -> str:
    match condition:
        case policy.Url():
            return condition.url
        case policy.Query():
            return condition.query
        case policy.PodsReady():
            return f"that the pods of {condition.namespace} are Ready"


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()
