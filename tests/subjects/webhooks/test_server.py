"""The small webhook as a process: what it answers, over TLS."""

import json
import socket
import ssl
import subprocess
import sys
from http.client import HTTPSConnection

from chaos.basics.waiting import eventually
from tests.fake_apiserver import PKI

REVIEW = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u-1", "name": "web"}}


def test_it_allows_what_it_is_asked_by_the_uid_of_the_request() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keys = [str(PKI / "server.crt"), str(PKI / "server.key")]
    argv = [sys.executable, "-m", "chaos.subjects.webhooks.server", str(port), *keys, "0"]
    with subprocess.Popen(argv) as process:
        try:
            eventually(lambda: said_to(port) == {"uid": "u-1", "allowed": True}, within_s=30, what="an answer")
            assert process.poll() is None
        finally:
            process.kill()


def said_to(port: int) -> object:
    context = ssl.create_default_context(cafile=str(PKI / "ca.crt"))
    context.check_hostname = False
    connection = HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    try:
        for _ in range(2):  # one connection serves several
            connection.request("POST", "/?timeout=2s", json.dumps(REVIEW), {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
            assert (answer["kind"], answer["apiVersion"]) == ("AdmissionReview", "admission.k8s.io/v1")
    finally:
        connection.close()
    return answer["response"]
