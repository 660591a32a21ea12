"""Threads that all send the first request of a client: run by a test as a process of its own, which may crash.

python -m tests.clusters.first_requests FOLDER TIMES
"""

import sys
import threading
from pathlib import Path

import yaml
from kubernetes.client import ApiClient

from chaos.clusters.way.client import api_client, raw_get
from tests.fake_apiserver import PKI, FakeApiServer

THREADS = 6


def ask_at_once(client: ApiClient, server: FakeApiServer) -> int:
    """How many of the threads were answered, and known by the client's certificate."""
    begun, answered = threading.Barrier(THREADS), []

    def ask() -> None:
        begun.wait(10)
        answered.append(raw_get(client, "/version"))

    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    known = [each for each in server.asked if each.certificate == "alice"]
    server.asked.clear()
    return min(len(answered), len(known))


def main(folder: Path, times: int) -> None:
    with FakeApiServer(folder, tls=True) as server:
        certificate = {"client-certificate": str(PKI / "alice.crt"), "client-key": str(PKI / "alice.key")}
        server.config["users"][0]["user"] = certificate
        server.kubeconfig.write_text(yaml.safe_dump(server.config))
        for _ in range(times):
            client = api_client(server.kubeconfig)
            answered = ask_at_once(client, server)
            client.close()  # type: ignore[no-untyped-call]
            if answered != THREADS:
                sys.exit(f"{answered} of {THREADS} threads were answered")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
