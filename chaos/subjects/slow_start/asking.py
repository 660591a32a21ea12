"""An API server is asked which of its start hooks are not done, and its log why it ended."""

import re
from dataclasses import dataclass
from pathlib import Path

import urllib3

from chaos.clusters.base import Cluster
from chaos.clusters.way.client import transport_of
from chaos.errors import OrdealError

APISERVER, ETCD = "kube-apiserver", "etcd"
REPAIR_HOOK = "start-service-ip-repair-controllers"  # pkg/registry/core/rest/storage_core.go, PostStartHook
# Said when that hook has begun (pkg/registry/core/service/ipallocator/controller/repairip.go, RunUntil).
HOOK_BEGINS = b"Starting ipallocator-repair-controller"
ANSWER_WITHIN_S = 5.0
TAIL_BYTES = 200_000
_PENDING = re.compile(r"^\[-\]poststarthook/(\S+)", re.MULTILINE)
_FATAL = re.compile(r'^F\d{4} .*?\] (PostStartHook "([^"]+)" failed: .*|.*)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether an API server is ready, the start hooks that are not done, and whether etcd answers it."""

    ready: bool
    pending: tuple[str, ...]
    etcd: bool


def readiness(cluster: Cluster) -> Readiness:
    """As the API server says now. Raises OrdealError where it gives no answer that tells, or none in time."""
    with cluster.api() as client:
        try:
            answer = transport_of(client).request(
                "GET", f"{client.configuration.host}/readyz?verbose", timeout=ANSWER_WITHIN_S
            )
        except urllib3.exceptions.HTTPError as error:
            raise OrdealError(f"the API server says nothing of its readiness: {error}") from error
    if answer.status not in {200, 500}:
        raise OrdealError(f"the API server answered HTTP {answer.status} to /readyz")
    said = answer.data.decode(errors="replace")
    return Readiness(answer.status == 200, tuple(_PENDING.findall(said)), etcd="\n[-]etcd failed" not in said)


def last_words(log: Path) -> tuple[str, str]:
    """The start hook by whose failure a process ended itself, "" for none, and the line in which it said so."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            said = file.read().decode(errors="replace")
    except FileNotFoundError:
        return "", ""
    found = _FATAL.findall(said)
    return (found[-1][1], found[-1][0]) if found else ("", "")
