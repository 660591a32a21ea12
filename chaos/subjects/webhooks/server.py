"""A small admission webhook: it allows everything, over TLS on loopback. A process of its own:

python -m chaos.subjects.webhooks.server PORT CERTIFICATE KEY ANSWER_AFTER_S
"""

import json
import ssl
import sys
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from chaos.basics.waiting import hold

LOOPBACK = "127.0.0.1"


class _Webhook(BaseHTTPRequestHandler):
    """Answers each AdmissionReview (admission.k8s.io/v1), so many seconds after it was asked."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    def __init__(self, answer_after_s: float, *given: object) -> None:
        self._answer_after_s = answer_after_s
        super().__init__(*given)  # type: ignore[arg-type]

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._answer_after_s:
            hold(self._answer_after_s)
        said = {**asked, "request": None, "response": {"uid": asked["request"]["uid"], "allowed": True}}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class calls it so)
        """Thousands of leases are no news."""


def serve(port: int, certificate: str, key: str, answer_after_s: float) -> None:
    """Answer until the process is ended. Raises OSError where the port is taken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer((LOOPBACK, port), partial(_Webhook, answer_after_s)) as server:
        # The handshake is made by the thread of each connection: one that is slow keeps nobody else away.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]))
