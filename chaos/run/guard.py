"""Holds a run to what the owner of an existing cluster allows: asked before each harm, and watched while it lasts.

What ends harm in the middle comes to the main thread as an interrupt, so that everything is taken back in the order in
which it was done; what was recorded by then is unknown.
"""

import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from types import FrameType
from typing import Any, Protocol

from kubernetes import client as k8s
from kubernetes.client import ApiClient, ApiException
from urllib3.exceptions import HTTPError

from chaos.basics.clock import latest
from chaos.basics.signals import held_back
from chaos.basics.untrusted import json_of
from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.existing import rights
from chaos.clusters.identity import named_in
from chaos.clusters.way.client import CONTROL_PLANE_LABEL, FAILURES, SYSTEM, raw_get, raw_merge, told
from chaos.errors import OrdealError
from chaos.harm.base import NotUndoneError
from chaos.run import conditions, policy
from chaos.run.claim import HARMED
from chaos.run.claim import NAME as LEASE
from chaos.run.deadline import TimedOutError, beneath
from chaos.run.policy import Consent, NodeToHarm, Policy
from chaos.run.stop_command import StopCommand

LOOK_EVERY_S = 1.0
ANSWER_WITHIN_S, ENDS_WITHIN_S, ASKED_WITHIN_S = 5.0, 10.0, 20.0
UNAUTHORIZED, FORBIDDEN = 401, 403
NOT_FOUND, EXISTS = 404, 409
STOP = signal.SIGUSR1  # what the watch wakes the main thread with


class StoppedError(TimedOutError):
    """The owner's guard ends the harm: an interrupt, so that nothing that asks again after an error goes on."""


class RefusedError(OrdealError):
    """The owner does not allow this harm, or gives no right to it: the replay is skipped with this reason."""


class Consents(Protocol):
    """Who is asked before harm is done."""

    def require(self) -> None:
        """Raise OrdealError where nothing may be harmed now."""
        ...

    def allowed(self) -> frozenset[str] | None:
        """The nodes that may be harmed; None: every one. Raises OrdealError where nobody says so."""
        ...

    def faults(self, kinds: Collection[str]) -> frozenset[str]:
        """Which of these kinds of faults may be done. Raises OrdealError where nobody says so."""
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

    def faults(self, kinds: Collection[str]) -> frozenset[str]:
        """All of them."""
        return frozenset(kinds)

    @contextmanager
    def harming(self, incident: str, fault: str, saved: object) -> Iterator[None]:  # noqa: ARG002
        yield


class Guard:
    """The owner's word, of one cluster."""

    def __init__(
        self,
        connect: Callable[[], ApiClient],
        stopped: Callable[[str], None] = lambda _: None,
        command: StopCommand | None = None,
    ) -> None:
        """`stopped` is told why, from a thread, once harm has to end: nothing more is to be begun. `command`: what the
        user of this run lets end it, beside what the owner has named.
        """
        self._connect, self._stopped, self._command = connect, stopped, command
        self._harmed: dict[object, frozenset[str]] = {}
        self._still: frozenset[str] = frozenset()  # what could not be undone
        self._before: Any = signal.SIG_DFL
        self._lock, self._why = threading.Lock(), ""

    def require(self) -> None:
        """Raise OrdealError where nothing may be harmed now."""
        consent = read(self._connect)
        if why := consent.stops(latest()):
            raise OrdealError(why)

    def allowed(self) -> frozenset[str] | None:
        """As Consents says."""
        self.require()
        with _asked(self._connect) as client:
            policy_now = _consent(client).policy
            return frozenset(
                each.name for each in _nodes(client) if policy_now is not None and not policy_now.refuses(each)
            )

    def faults(self, kinds: Collection[str]) -> frozenset[str]:
        """As Consents says."""
        policy_now = read(self._connect).policy
        return frozenset(each for each in kinds if policy_now is not None and policy_now.names_fault(each))

    @contextmanager
    def harming(self, incident: str, fault: str, saved: object) -> Iterator[None]:
        """As Consents says."""
        if not _is_main():
            raise OrdealError(f"{fault} is not done: on an existing cluster harm is done from the main thread alone")
        mine, wanted = self._permitted(incident, fault, saved)
        key, watch = object(), _Watch(self._connect, self._stop, wanted, self._command)
        if not self._harmed:
            self._before = signal.signal(STOP, self._end)
        try:
            self._harmed[key] = mine
            self._tell()
            watch.start()
            yield
        except BaseException as error:
            if any(isinstance(each, NotUndoneError) for each in beneath(error)):
                self._stopped(str(error))  # what stays harmed counts, and nothing more is begun there
                self._still = self._still | mine
            raise
        finally:
            try:
                with held_back():
                    watch.end()
                    self._harmed.pop(key, None)
                    self._tell()
                    self._why = self._why if self._harmed else ""
            finally:
                if not self._harmed:
                    signal.signal(STOP, self._before)

    def _now(self) -> frozenset[str]:
        return self._still.union(*self._harmed.values())

    def _permitted(self, incident: str, fault: str, saved: object) -> tuple[frozenset[str], Policy | None]:
        with _asked(self._connect) as client:
            consent = _consent(client)
            nodes = _nodes(client)
            lacks = without_right(client, fault)
        why = refusal(consent, incident, fault, saved, nodes, harmed=self._now()) or lacks
        ends = stopping(self._connect, consent)
        if not ends and self._command is not None:
            ends = self._command.ends(threading.Event())
        if ends:
            self._stopped(ends)
            raise OrdealError(f"{fault} is not done: {ends}")
        if why:
            raise RefusedError(why)
        return named_in(saved, {each.name for each in nodes}), consent.policy

    def _tell(self) -> None:
        """Let whoever halts know which nodes are harmed. Where the API server is away, nobody can be told."""
        body: Any = {"metadata": {"annotations": {HARMED: ",".join(sorted(self._now()))}}}
        with suppress(*FAILURES), self._connect() as client:
            k8s.CoordinationV1Api(client).patch_namespaced_lease(LEASE, SYSTEM, body, _request_timeout=ANSWER_WITHIN_S)

    def _stop(self, why: str) -> None:
        with self._lock:
            if self._why:  # of harm in harm each one looks, and one stop is enough
                return
            self._why = why
        self._stopped(why)
        signal.pthread_kill(threading.main_thread().ident or 0, STOP)

    def _end(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  (a handler is called with both)
        raise StoppedError(f"stopped: {self._why}")


class _Watch:
    """Looks at the owner's word and at the owner's conditions, each in a thread of its own, and stops once.

    Where the API server does not answer, it may be what the harm took away: that alone ends nothing, and conditions
    that need no API server are asked all the same.
    """

    def __init__(
        self,
        connect: Callable[[], ApiClient],
        stop: Callable[[str], None],
        wanted: Policy | None,
        command: StopCommand | None,
    ) -> None:
        """`wanted`: the policy as it was when harm was allowed, for as long as none can be read."""
        self._connect, self._stop, self._command = connect, stop, command
        self._over, self._lock = threading.Event(), threading.Lock()
        self._policy = wanted
        self._asked_at = time.monotonic()
        self._runs = threading.Thread(target=self._run, name="guard_run", daemon=True)

    def start(self) -> None:
        for target in (self._look, self._ask):
            threading.Thread(target=target, name=f"guard{target.__name__}", daemon=True).start()
        self._runs.start()

    def end(self) -> None:
        """Nothing is stopped from now on, and the command runs no more."""
        with self._lock:
            self._over.set()
        if self._runs.ident is not None:
            self._runs.join(ENDS_WITHIN_S)

    def _look(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            why = self._seen()
            late_s = time.monotonic() - self._asked_at
            if not why and self._policy is not None and self._policy.stop and late_s > ASKED_WITHIN_S:
                why = f"the guard's conditions were not answered for {late_s:.0f} s"
            self._stop_if(why)

    def _seen(self) -> str:
        try:
            with self._connect() as client:
                consent = _consent(client)
        except HTTPError:
            return ""
        except ApiException as error:
            return f"the guard can't be read: {told(error)}" if error.status in {UNAUTHORIZED, FORBIDDEN} else ""
        except Exception as error:  # noqa: BLE001  (whatever it is: a guard that nobody understands allows nothing)
            return str(error) or repr(error)
        self._policy = consent.policy
        return consent.stops(latest())

    def _ask(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            self._stop_if(conditions.broken(self._connect, self._policy))
            self._asked_at = time.monotonic()

    def _run(self) -> None:
        while self._command is not None and not self._over.wait(LOOK_EVERY_S):
            self._stop_if(self._command.ends(self._over))

    def _stop_if(self, why: str) -> None:
        with self._lock:
            if why and not self._over.is_set():
                self._over.set()
                self._stop(why)


def read(connect: Callable[[], ApiClient]) -> Consent:
    """What the owner says now. Raises OrdealError where that can't be read."""
    with _asked(connect) as client:
        return _consent(client)


def stopping(connect: Callable[[], ApiClient], consent: Consent) -> str:
    """Why nothing may be harmed now, in words; "" where something may. The owner's own conditions are asked too."""
    return consent.stops(latest()) or conditions.broken(connect, consent.policy)


def refusal(
    consent: Consent,
    incident: str,
    fault: str,
    saved: object,
    nodes: Collection[NodeToHarm],
    *,
    harmed: Collection[str] = (),
) -> str:
    """Why the owner does not allow this harm, as a sentence; "" where it is allowed. `saved`: the plan, as the journal
    has it; `nodes`: all of the cluster; `harmed`: the names of those that are harmed already.
    """
    named = named_in(saved, {each.name for each in nodes})
    mine = [each for each in sorted(nodes, key=lambda each: each.name) if each.name in named]
    now, spaces = latest(), namespaces_in(saved)
    why = consent.refuses(incident, fault, mine, spaces, harmed=harmed, of=len(nodes), at=now)
    return f"{fault} is not done: {why}" if why else ""


def without_right(client: ApiClient, fault: str) -> str:
    """Which rights lack for a fault, as a sentence; "" where none does. Raises HTTPError."""
    lacks = rights.lacking_for(client, fault)
    return f"{fault} is not done: {lacks}" if lacks else ""


def nodes_to_harm(connect: Callable[[], ApiClient]) -> tuple[NodeToHarm, ...]:
    """All nodes, as the guard sees them. Raises OrdealError."""
    with _asked(connect) as client:
        return tuple(_nodes(client))


def write(connect: Callable[[], ApiClient], wanted: Policy, *, replace: bool) -> None:
    """Put the guard into the cluster. Raises OrdealError where there is one and it is not to be replaced."""
    body: Any = {"metadata": {"name": policy.NAME}, "data": {policy.POLICY: policy.written(wanted)}}
    with connect() as client:
        core = k8s.CoreV1Api(client)
        try:
            core.create_namespaced_config_map(SYSTEM, body)
        except HTTPError as error:
            raise OrdealError(f"the guard can't be written: {told(error)}") from error
        except ApiException as error:
            if error.status != EXISTS:
                raise OrdealError(f"the guard can't be written: {told(error)}") from error
            if not replace:
                raise OrdealError(
                    f"the cluster has a guard already: `kubectl --namespace {SYSTEM} edit configmap {policy.NAME}`, or "
                    f"give --replace"
                ) from error
            try:  # what is patched in leaves a halt as it is
                core.patch_namespaced_config_map(policy.NAME, SYSTEM, {"data": body["data"]})
            except (ApiException, HTTPError) as other:
                raise OrdealError(f"the guard can't be written: {told(other)}") from other


def halt(connect: Callable[[], ApiClient], *, on: bool) -> None:
    """Set, or take back, the flag that ends all harm. Raises OrdealError where the cluster has no guard."""
    with connect() as client:
        try:
            change = {"data": {policy.HALT: "true" if on else "false"}}
            raw_merge(client, f"/api/v1/namespaces/{SYSTEM}/configmaps/{policy.NAME}", change)
        except (ApiException, HTTPError) as error:
            if isinstance(error, ApiException) and error.status == NOT_FOUND:
                raise OrdealError("there is no guard in the cluster, so nothing may be harmed there") from error
            raise OrdealError(f"the guard can't be changed: {told(error)}; end the run where it is") from error


def ended(
    connect: Callable[[], ApiClient], before: frozenset[str] | None, within_s: float = ENDS_WITHIN_S
) -> tuple[str, ...]:
    """After a halt: what became of the nodes that were harmed before it (`harmed`), a sentence each. Waits up to
    `within_s`. Raises OrdealError where the API server does not answer.
    """
    if before is None:
        return ("no run has this cluster",)
    with suppress(WaitedInVainError):
        eventually(lambda: not harmed(connect), within_s=within_s, what="all harm to be undone", every_s=0.5)
    after = harmed(connect) or frozenset()
    told_of = [f"undone on {each}" for each in sorted(before - after)]
    told_of += [f"not undone yet on {each}: its agent, where it has one, does it by itself" for each in sorted(after)]
    return tuple(told_of) or ("no node was harmed",)


def harmed(connect: Callable[[], ApiClient]) -> frozenset[str] | None:
    """The nodes that the run of this cluster harms now, as it says; None where no run has it. Raises OrdealError where
    the API server does not answer.
    """
    with connect() as client:
        try:
            lease = json_of(raw_get(client, f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/{LEASE}"))
            said = (lease["metadata"].get("annotations") or {}).get(HARMED) or ""
        except (ApiException, HTTPError) as error:
            if isinstance(error, ApiException) and error.status == NOT_FOUND:
                return None
            raise OrdealError(f"it can't be asked what is harmed: {told(error)}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OrdealError("it can't be asked what is harmed: what answered is no Lease") from error
    return frozenset(filter(None, str(said).split(",")))


@contextmanager
def _asked(connect: Callable[[], ApiClient]) -> Iterator[ApiClient]:
    """A client; what a request comes to is an OrdealError."""
    with connect() as client:
        try:
            yield client
        except (ApiException, HTTPError) as error:
            raise OrdealError(f"the cluster's guard can't be read: {told(error)}") from error


def _consent(client: ApiClient) -> Consent:
    """Raises ApiException, HTTPError; OrdealError for a guard that can't be read."""
    try:
        found = json_of(raw_get(client, f"/api/v1/namespaces/{SYSTEM}/configmaps/{policy.NAME}", ANSWER_WITHIN_S))
        data = found.get("data") or {}
    except ApiException as error:
        if error.status == NOT_FOUND:
            return Consent(None)
        raise
    except (ValueError, AttributeError) as error:
        raise OrdealError(f"the guard can't be read: what answers is no API server ({error})") from error
    return policy.consent_of(data)


def _nodes(client: ApiClient) -> list[NodeToHarm]:
    items: list[Any] = k8s.CoreV1Api(client).list_node().items
    return [
        NodeToHarm(each.metadata.name, each.metadata.labels or {}, CONTROL_PLANE_LABEL in (each.metadata.labels or {}))
        for each in items
    ]


def namespaces_in(saved: object) -> frozenset[str]:
    """The namespaces that a plan names, in fields of that name."""
    if isinstance(saved, Mapping):
        mine = {str(value) for key, value in saved.items() if key == "namespace" and value}
        return frozenset(mine).union(*(namespaces_in(each) for each in saved.values()))
    if isinstance(saved, Collection) and not isinstance(saved, str | bytes):
        return frozenset().union(*(namespaces_in(each) for each in saved))
    return frozenset()


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()
