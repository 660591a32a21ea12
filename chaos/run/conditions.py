"""The conditions that a cluster's owner has named (chaos.run.policy): which of them ends all harm now, and how."""

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import urllib3
from kubernetes import client as k8s
from kubernetes.client import ApiClient
from urllib3.exceptions import HTTPError

from chaos.basics.untrusted import json_of
from chaos.clusters.way.client import is_ready, told
from chaos.run import policy
from chaos.run.policy import Condition, Policy

ANSWER_WITHIN_S = 5.0
MOST_BYTES, CHUNK_BYTES = 1 << 20, 1 << 14


def broken(connect: Callable[[], ApiClient], wanted: Policy | None) -> str:
    """Which of the owner's conditions ends all harm now, and how; "" where none does. One that can't be asked does, but
    for what only an API server knows while that does not answer.
    """
    for each in wanted.stop if wanted is not None else ():
        try:
            with connect() as client:
                why = _ends(client, each)
        except HTTPError as error:
            why = "" if isinstance(each, policy.PodsReady) else f"it can't be asked: {told(error)}"
        except Exception as error:  # noqa: BLE001  (as it says above)
            why = f"it can't be asked: {told(error)}"
        if why:
            return f"the guard's condition {_named(each)} ends all harm: {why}"
    return ""


def _ends(client: ApiClient, condition: Condition) -> str:
    match condition:
        case policy.Url():
            status, _ = _fetched(condition.url)
            return "" if 200 <= status < 300 else f"HTTP {status}"
        case policy.Query():
            url = f"{condition.url.rstrip('/')}/api/v1/query?{urlencode({'query': condition.query})}"
            found = json_of(_fetched(url)[1])["data"]["result"]
            return f"it finds {json.dumps(found)[:200]}" if found else ""
        case policy.PodsReady():
            core = k8s.CoreV1Api(client)
            core.read_namespace(condition.namespace)  # of one that is not there no pod is not Ready
            pods: list[Any] = core.list_namespaced_pod(condition.namespace).items
            not_ready = [p.metadata.name for p in pods if p.status.phase != "Succeeded" and not is_ready(p.status)]
            return f"not Ready: {', '.join(not_ready[:5])}" if not_ready else ""


def _fetched(url: str) -> tuple[int, bytes]:
    """Status and body. Raises HTTPError, also where it is long, or takes long."""
    until = time.monotonic() + ANSWER_WITHIN_S
    with urllib3.PoolManager(retries=False, timeout=ANSWER_WITHIN_S) as pool:
        answer = pool.request("GET", url, preload_content=False)
        body = b""
        for piece in answer.stream(CHUNK_BYTES):
            body += piece
            if len(body) > MOST_BYTES or time.monotonic() > until:
                answer.close()
                raise HTTPError(f"more than {MOST_BYTES} bytes, or than {ANSWER_WITHIN_S:g} s")
        return answer.status, body


def _named(condition: Condition) -> str:
    match condition:
        case policy.Url():
            return condition.url
        case policy.Query():
            return condition.query
        case policy.PodsReady():
            return f"that the pods of {condition.namespace} are Ready"
