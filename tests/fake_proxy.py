"""A proxy on loopback: CONNECT of HTTP, or SOCKS 5. It notes what it is asked for and by whom."""

import socket
import ssl
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from tests.fake_apiserver import PKI


class FakeProxy:
    """Leads everything to one port of this machine, whatever host is asked for."""

    def __init__(self, leads_to: int, *, socks: bool = False, tls: bool = False) -> None:
        self.asked: list[str] = []  # hosts, as they were named
        self.as_whom: list[str] = []  # Proxy-Authorization, or a user and a password of SOCKS
        self.certificates: list[str] = []  # whose was shown to it, with TLS
        self._leads_to, self._socks = leads_to, socks
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
        if self._context is not None:
            self._context.load_cert_chain(PKI / "server.crt", PKI / "server.key")
            self._context.load_verify_locations(PKI / "ca.crt")
            self._context.verify_mode = ssl.CERT_OPTIONAL
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        with suppress(OSError):
            client = raw if self._context is None else self._context.wrap_socket(raw, server_side=True)
            if isinstance(client, ssl.SSLSocket):
                subject: Any = (client.getpeercert() or {}).get("subject", ())
                self.certificates += [value for part in subject for key, value in part if key == "commonName"]
            with client, socket.create_connection(("127.0.0.1", self._leads_to)) as server:
                (self._agree_on_socks if self._socks else self._agree_on_connect)(client)
                back = threading.Thread(target=_pour, args=(server, client), daemon=True)
                back.start()
                _pour(client, server)
                back.join()

    def _agree_on_connect(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        first, *rest = head.decode().split("\r\n")
        self.asked.append(first.split()[1])
        self.as_whom += [line.split(": ")[1] for line in rest if line.lower().startswith("proxy-authorization")]
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")

    def _agree_on_socks(self, client: socket.socket) -> None:
        """RFC 1928, and the user and password of RFC 1929."""
        methods = client.recv(client.recv(2)[1])
        with_password = 2 in methods
        client.sendall(bytes([5, 2 if with_password else 0]))
        if with_password:
            user = client.recv(client.recv(2)[1])
            self.as_whom.append(f"{user.decode()}:{client.recv(client.recv(1)[0]).decode()}")
            client.sendall(b"\1\0")
        kind = client.recv(4)[3]
        host = client.recv(client.recv(1)[0]).decode() if kind == 3 else socket.inet_ntoa(client.recv(4))
        client.recv(2)
        self.asked.append(host)
        client.sendall(b"\5\0\0\1\0\0\0\0\0\0")


def _pour(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
