"""Receivers on loopback: servers that answer as they are told to, and keep what they are sent."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OTLP = {"Content-Type": "application/x-protobuf"}


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: Message
    body: bytes


@dataclass
class Listener:
    """A server that is up. `url` has no path."""

    url: str
    asked: list[Asked] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """What a receiver answers; `raw` is sent as it is, in the place of an answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None


class Server(ThreadingHTTPServer):
    """One that nobody waits for, and that says nothing where who asked it has gone."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, *args: object) -> None: ...


@contextmanager
def receiver(answer: Callable[[Asked], Answer] = lambda _: Answer(headers=OTLP)) -> Iterator[Listener]:
    """A receiver that answers so. It has ended with the block, whatever still asks it."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            asked = Asked(self.command, self.path, self.headers, self.rfile.read(length))
            made.asked.append(asked)
            told = answer(asked)
            if told.raw is not None:
                self.wfile.write(told.raw)
                self.close_connection = True
                return
            self.send_response(told.status)
            for name, value in {**told.headers, "Content-Length": str(len(told.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(told.body)

        do_POST = do_PUT = answer  # noqa: N815  (http.server's names)

        def log_message(self, *args: object) -> None: ...

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        made = Listener(f"http://127.0.0.1:{server.server_port}")
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def nobody() -> Iterator[str]:
    """The URL of a port where nobody listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
    yield url


@contextmanager
def hanging() -> Iterator[Listener]:
    """A receiver that takes a request, and answers when the block ends."""
    let_go = threading.Event()

    def wait(_: Asked) -> Answer:
        let_go.wait(60)
        return Answer(503)

    with receiver(wait) as made:
        try:
            yield made
        finally:
            let_go.set()
