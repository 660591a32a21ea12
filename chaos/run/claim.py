"""A run's claim on a cluster that is not ours to make: a Lease, so that two runs never harm it at the same time.

Who holds it may be another user, on another machine. A run that was killed does not give it back: on the same machine
the next one sees that its process is gone, on another one it waits for the Lease to run out.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from getpass import getuser
from pathlib import Path
from socket import gethostname
from types import TracebackType
from typing import Any, Self

from kubernetes import client as k8s
from kubernetes.client import ApiClient, ApiException

from chaos.clusters.base import EXISTING, ClusterRef
from chaos.clusters.simulated.processes import OwnProcess
from chaos.clusters.way.client import FAILURES, SYSTEM, Access, told
from chaos.clusters.way.server_clock import RESOLUTION_S, answered_at
from chaos.errors import OrdealError
from chaos.hosts.places import journals_dir
from chaos.hosts.record import boot
from chaos.record.journal import Journal

NAME = "kube-ordeal"
HARMED = "kube-ordeal/harmed"  # annotation: the names of the nodes that are harmed now, joined by commas
PROCESS = "kube-ordeal/process"  # annotation: boot id, process id, and its start in ticks after boot
# Longer than any fault keeps the API server away.
LASTS_S, RENEWED_EVERY_S = 600, 30.0
GONE, TAKEN = 404, 409


def give_back(client: Callable[[], ApiClient], holder: str) -> None:
    """End a holder's claim; one that it has not is left alone. Raises what a request can come to."""
    with client() as connected:
        api: Any = k8s.CoordinationV1Api(connected)
        try:
            there = api.read_namespaced_lease(NAME, SYSTEM)
            if there.spec.holder_identity == holder:
                same = {"preconditions": {"resourceVersion": there.metadata.resource_version}}
                api.delete_namespaced_lease(NAME, SYSTEM, body=same)
        except ApiException as error:
            if error.status not in {GONE, TAKEN}:
                raise


@contextmanager
def claimed(kubeconfig: Path, context: str, run: str, lost: Callable[[str], None]) -> Iterator[None]:
    """The cluster is this run's for the block's length, and the journal knows it. Raises OrdealError as `Claim`."""
    access = Access(kubeconfig, context)
    holder = f"run {run} of {getuser()} on {gethostname()}"
    ref = ClusterRef(EXISTING, context, str(kubeconfig), context, access.identity().narrowed(()))
    with Journal(journals_dir() / f"{run}-claim.jsonl") as log:
        entry = log.planned(CLAIM, ref, {"holder": holder})
        try:
            with Claim(access.client, holder, lost):
                yield
        finally:
            give_back(access.client, holder)
            log.undone(entry)


def held(client: Callable[[], ApiClient]) -> str:
    """Why a run could not claim the cluster now, in words; "" where it could. Raises OrdealError where that can't be
    asked.
    """
    with client() as connected:
        api: Any = k8s.CoordinationV1Api(connected)
        try:
            return _held(*_read(api), "")
        except FAILURES as error:
            if isinstance(error, ApiException) and error.status == GONE:
                return ""
            raise OrdealError(f"it can't be asked whether a run has claimed the cluster: {told(error)}") from error


def _read(api: Any) -> tuple[Any, datetime]:
    """The Lease, and what time it is for the API server."""
    there, _, headers = api.read_namespaced_lease_with_http_info(NAME, SYSTEM)
    return there, answered_at(headers)


def _held(there: Any, now: datetime, by: str) -> str:
    """Why a Lease can't be taken by that holder, in words; "" where nobody else has it any more.

    When it was renewed is told by the API server, which noted it, as two machines' clocks may differ by anything.
    """
    holder, noted = there.spec.holder_identity or "", [each.time for each in there.metadata.managed_fields or ()]
    if not holder or holder == by or there.spec.renew_time is None:
        return ""
    if _is_over((there.metadata.annotations or {}).get(PROCESS, "")):
        return ""
    lasts_s = (there.spec.lease_duration_seconds or LASTS_S) + RESOLUTION_S
    until = max((each for each in noted if each), default=now) + timedelta(seconds=lasts_s)
    if until < now:
        return ""
    return (
        f"the cluster is claimed by {holder}: wait for it; where it was killed, its claim runs out at "
        f"{until:%Y-%m-%d %H:%M:%S} UTC, and `kubectl --namespace {SYSTEM} delete lease {NAME}` ends it now"
    )


def _this_process() -> str:
    """This process, so that others on this machine can tell whether it is over."""
    me = OwnProcess.of(os.getpid())
    return f"{boot()} {os.getpid()} {me.started if me else 0}"


def _is_over(said: str) -> bool:
    """Whether that process was on this machine, since it was started, and is not there any more."""
    match said.split():
        case [born, pid, started] if born == boot() and pid.isdecimal() and started.isdecimal():
            return OwnProcess(int(pid), int(started)).state() == "gone"
        case _:
            return False


CLAIM = "claim"  # the kind of the entry in the journal that stands for a Lease that may be held


class Claim:
    """Holds the Lease kube-system/kube-ordeal for the length of the block, and renews it.

    A claim of the same holder, which another process of its run has, is no obstacle.
    """

    def __init__(
        self, client: Callable[[], ApiClient], holder: str, lost: Callable[[str], None] = lambda _: None
    ) -> None:
        """`holder`: the run, and whose it is; it is told to others. `lost` is called, from a thread, where somebody
        else has it after all, with who that is.
        """
        self._client, self.holder, self._lost = client, holder, lost
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="claim", daemon=True)

    def __enter__(self) -> Self:
        """Raises OrdealError where another run has it, or the cluster does not let it be taken."""
        with self._client() as client:
            api = k8s.CoordinationV1Api(client)
            try:
                self._take(api)
            except FAILURES as error:
                if isinstance(error, OrdealError):
                    raise
                raise OrdealError(
                    f"the cluster can't be claimed for this run, by a Lease {NAME} in the namespace {SYSTEM}: "
                    f"{told(error)}"
                ) from error
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.give_back()

    def give_back(self) -> None:
        """Let others have the cluster. Where the API server is away, they wait until it has run out. Safe to repeat."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(RENEWED_EVERY_S)
        with suppress(*FAILURES):
            give_back(self._client, self.holder)

    def _take(self, api: Any) -> None:
        try:
            there, now = _read(api)
        except ApiException as error:
            if error.status != GONE:
                raise
            there = now = None
        wanted = self._lease(there)
        try:
            if there is None or now is None:
                api.create_namespaced_lease(SYSTEM, wanted)
                return
            if why := _held(there, now, self.holder):
                raise OrdealError(why)
            api.replace_namespaced_lease(NAME, SYSTEM, wanted)
        except ApiException as error:
            if error.status != TAKEN:
                raise
            raise OrdealError("another run has claimed the cluster in this very moment; wait for it") from error

    def _lease(self, there: Any) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        others = (there.metadata.annotations or {}) if there is not None and self._is_mine(there) else {}
        metadata: dict[str, Any] = {"name": NAME, "annotations": {**others, PROCESS: _this_process()}}
        if there is not None:
            metadata["resourceVersion"] = there.metadata.resource_version
        spec = {"holderIdentity": self.holder, "leaseDurationSeconds": LASTS_S, "acquireTime": now, "renewTime": now}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}

    def _is_mine(self, there: Any) -> bool:
        return bool(there.spec.holder_identity == self.holder)

    def _renew(self) -> None:
        while not self._stopped.wait(RENEWED_EVERY_S):
            with self._client() as client:
                api: Any = k8s.CoordinationV1Api(client)
                try:
                    there = api.read_namespaced_lease(NAME, SYSTEM)
                    if there.spec.holder_identity != self.holder:
                        self._lost(there.spec.holder_identity or "nobody")
                        return
                    api.replace_namespaced_lease(NAME, SYSTEM, self._lease(there))
                except FAILURES:  # a fault may keep the API server away: it lasts much longer than that
                    continue
