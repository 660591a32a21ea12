"""Pods created and deleted as fast as an API server takes them, and a witness that asks etcd what happened to them.

Each runs as a process of its own, so that it takes no time from what is measured:
python -m tests.churn {create|delete} KUBECONFIG NUMBER
python -m tests.churn witness REVISION ETCDCTL...
"""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from kubernetes.client import ApiClient

from chaos.clusters.simulated.cluster import SimulatedCluster
from chaos.clusters.way.client import api_client
from chaos.workloads.base import WORKLOAD_LABEL

ROOT = Path(__file__).parents[1]
WORKLOAD = "churn"
PODS = "/api/v1/namespaces/default/pods"
THREADS = 8


def main(argv: Sequence[str]) -> int:
    if argv[0] == "witness":
        witness(*argv[1:])
        return 0
    with api_client(Path(argv[1])) as client:
        {"create": create, "delete": delete}[argv[0]](client, int(argv[2]))
    return 0


def create(client: ApiClient, number: int) -> None:
    """`number` pods, bound to the nodes in turn."""
    nodes = [n["metadata"]["name"] for n in request(client, "GET", "/api/v1/nodes")["items"]]

    def one(index: int) -> None:
        body = {
            "metadata": {"name": f"churn-{index}", "labels": {WORKLOAD_LABEL: WORKLOAD}},
            "spec": {
                "nodeName": nodes[index % len(nodes)],
                "automountServiceAccountToken": False,
                "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "c", "image": "pause"}],
            },
        }
        request(client, "POST", PODS, body)

    _all_at_once(one, number)


def delete(client: ApiClient, number: int) -> None:
    """Those pods again."""
    _all_at_once(lambda index: request(client, "DELETE", f"{PODS}/churn-{index}"), number)


def witness(revision: str, *etcdctl: str) -> None:
    """Say, a line each, which revision put or deleted a pod, from `revision` on, until standard input ends.

    etcd's own watch: no API server and none of its caches is between. A revision is the object's resourceVersion.
    """
    argv = [*etcdctl, "watch", "--prefix", "/registry/pods/", "--rev", revision, "-w", "json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as watch:
        assert watch.stdout is not None

        def end_with_stdin() -> None:
            sys.stdin.read()
            watch.kill()

        threading.Thread(target=end_with_stdin, daemon=True).start()
        for line in watch.stdout:
            for event in msgspec.json.decode(line)["Events"] or ():
                print("delete" if event.get("type") else "put", event["kv"]["mod_revision"], flush=True)


@contextmanager
def witnessed(cluster: SimulatedCluster, path: Path) -> Iterator[Callable[[], list[tuple[str, str]]]]:
    """Have a witness write to `path` for the block's length; yields what it has seen: ("put" or "delete", revision)."""
    argv = [str(cluster.etcd_revision() + 1), *cluster.etcdctl()]
    with path.open("wb") as out, subprocess.Popen(_argv("witness", *argv), stdin=subprocess.PIPE, stdout=out, cwd=ROOT):
        yield lambda: [(word, revision) for word, revision in map(str.split, path.read_text().splitlines())]


def churn(cluster: SimulatedCluster, what: str, number: int) -> None:
    """Create or delete, in a process of its own, and wait for its end."""
    subprocess.run(_argv(what, cluster.ref.kubeconfig, str(number)), check=True, cwd=ROOT)


def _argv(*args: str) -> list[str]:
    return [sys.executable, "-m", "tests.churn", *args]


def request(client: ApiClient, method: str, path: str, body: object = None) -> Any:
    """One request; the answer's JSON."""
    answer = client.rest_client.pool_manager.request(
        method,
        client.configuration.host + path,
        body=None if body is None else msgspec.json.encode(body),
        headers={"Content-Type": "application/json"},
        timeout=60.0,
    )
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path} was answered with {answer.status}: {answer.data[:300]!r}")
    return msgspec.json.decode(answer.data)


def _all_at_once(one: Callable[[int], object], number: int) -> None:
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in threads.map(one, range(number)):
            pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
