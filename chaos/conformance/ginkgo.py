"""Ginkgo's parallel protocol, the side that hands out specs: how `ginkgo -procs` talks to the processes it starts.

A test process asks for the number of its next spec (GET /counter) and reports each one as it ends (POST /did-run).
Here both may be kept waiting, so that a spec is begun when somebody asks for it. The protocol is Ginkgo v2's
internal/parallel_support, over HTTP (GINKGO_PARALLEL_PROTOCOL=HTTP); its order of specs is internal/ordering.go.
"""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

PAST_THE_LAST = 1 << 30  # a number that no spec has: what is left are the serial ones
SPEC = "It"  # LeafNodeType of a spec; others are what runs before and after all


class Location(msgspec.Struct, rename="pascal", frozen=True):
    """A place in upstream's source."""

    file_name: str = ""
    line_number: int = 0


class Failure(msgspec.Struct, rename="pascal", frozen=True):
    """Why a spec failed, or was skipped, in upstream's own words."""

    message: str = ""
    location: Location = Location()


class FurtherFailure(msgspec.Struct, rename="pascal", frozen=True):
    """A failure after the first one, as in a spec's cleaning up."""

    state: str = ""
    failure: Failure = Failure()


class Report(msgspec.Struct, rename="pascal", frozen=True):
    """What a process says of a spec that ended (types.SpecReport); `run_time` is in nanoseconds."""

    container_hierarchy_texts: tuple[str, ...] | None = None
    container_hierarchy_labels: tuple[tuple[str, ...] | None, ...] | None = None
    leaf_node_type: str = ""
    leaf_node_labels: tuple[str, ...] | None = None
    leaf_node_text: str = ""
    state: str = ""
    run_time: int = 0
    failure: Failure | None = None
    num_attempts: int = 0
    max_flake_attempts: int = 0
    captured_ginkgo_writer_output: str = ""
    captured_std_out_err: str = ""
    additional_failures: tuple[FurtherFailure, ...] | None = None

    @property
    def text(self) -> str:
        """The spec's full name."""
        return " ".join(
            [*(self.container_hierarchy_texts or ()), *([self.leaf_node_text] if self.leaf_node_text else [])]
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """Its labels, those of the outer containers first."""
        groups = [*(self.container_hierarchy_labels or ()), self.leaf_node_labels]
        return tuple(dict.fromkeys(label for group in groups for label in group or ()))

    @property
    def message(self) -> str:
        """Upstream's sentence, and where it was said."""
        if self.failure is None:
            return ""
        said, at = self.failure.message.strip(), self.failure.location
        return f"{said}\n(at {at.file_name}:{at.line_number})" if at.file_name else said

    @property
    def output(self) -> str:
        """What it wrote, and the failures after the first."""
        more = [f"[{f.state}] {f.failure.message}" for f in self.additional_failures or ()]
        return "\n".join(
            part for part in (self.captured_std_out_err, self.captured_ginkgo_writer_output, *more) if part
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """The process has nothing to do and asks for the next number."""


Event = Asked | Report


class Host:
    """Serves one test process. `events` has what it asked and reported, in order; `answer` lets it go on."""

    def __init__(self, hold: Callable[[Report], bool] = lambda _: False) -> None:
        """`hold` says of a report whether the process is to wait for an `answer` before it goes on."""
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._hold = hold
        self._answers: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._over = threading.Event()
        host = self

        class Handler(_Handler):
            def get(self, path: str) -> tuple[int, bytes]:
                return host._get(path)

            def post(self, path: str, body: bytes) -> int:
                return host._post(path, body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="ginkgo", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """What --ginkgo.parallel.host takes."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, number: int) -> None:
        """The number of the next spec; after a report that was held, any number."""
        self._answers.put(number)

    def end(self) -> None:
        """Let the process come to its end, without another spec."""
        self._over.set()
        self._answers.put(None)

    def close(self) -> None:
        """Stop serving."""
        self.end()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _get(self, path: str) -> tuple[int, bytes]:
        if path == "/counter":
            if self._over.is_set():
                return 500, b""
            self.events.put(Asked())
            number = self._answers.get()
            return (500, b"") if number is None else (200, msgspec.json.encode({"Index": number}))
        if path == "/abort":
            return (410 if self._over.is_set() else 200), b""
        return 200, b"{}"  # /up, /have-nonprimary-procs-finished, /aggregated-nonprimary-procs-report

    def _post(self, path: str, body: bytes) -> int:
        if path == "/did-run":
            report = msgspec.json.decode(body, type=Report)
            held = not self._over.is_set() and self._hold(report)
            self.events.put(report)
            if held:
                self._answers.get()
        return 200


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def get(self, path: str) -> tuple[int, bytes]:
        raise NotImplementedError

    def post(self, path: str, body: bytes) -> int:
        raise NotImplementedError

    def do_GET(self) -> None:
        self._say(*self.get(self.path))

    def do_POST(self) -> None:
        self._say(self.post(self.path, self.rfile.read(int(self.headers.get("Content-Length") or 0))), b"")

    def _say(self, status: int, body: bytes) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # the process is gone
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: the process's own log has it."""
