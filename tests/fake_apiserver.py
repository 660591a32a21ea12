"""An API server that lists, watches and says who may what, over real HTTP on loopback, and misbehaves when told to."""

import base64
import hashlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import yaml
from kubernetes.client import ApiClient

from chaos.clusters.way.client import CONTROL_PLANE_LABEL, api_client

RESOURCES = ("nodes", "pods", "events")
GUARD = "/api/v1/namespaces/kube-system/configmaps/kube-ordeal-guard"
GONE = {"kind": "Status", "code": 404, "message": "not found"}
# Which the real one always writes.
PARTS: dict[str, dict[str, Any]] = {
    "nodes": {"spec": {}, "status": {}},
    "pods": {"spec": {"containers": []}, "status": {}},
}
PKI = Path(__file__).parent / "pki"  # certificates, made by the script in it


def noted_at(at: datetime) -> dict[str, Any]:
    """As an API server notes when something was written, by its own clock."""
    return {"manager": "fake", "operation": "Update", "time": f"{at:%Y-%m-%dT%H:%M:%SZ}"}


@dataclass(frozen=True)
class Asked:
    """A request as it came: its headers, and whose certificate the connection has."""

    path: str
    headers: Message
    certificate: str

    def all(self, header: str) -> list[str]:
        return self.headers.get_all(header, [])


class FakeApiServer:
    """Objects, a log of their changes, and knobs for what can go wrong between a server and its watchers."""

    def __init__(self, directory: Path, *, tls: bool = False, address: str = "127.0.0.1") -> None:
        self.objects: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in RESOURCES}
        self.log: dict[str, list[tuple[str, dict[str, Any]]]] = {name: [] for name in RESOURCES}
        self.version = 100
        self.compacted = 0  # watches from before this version are answered with 410
        self.gone_as_event = False  # 410 as an ERROR event in a stream of status 200, as older servers do
        self.refuse = 0  # answer every request with this status
        self.hanging = threading.Event()
        self.shakes_hands = threading.Event()  # cleared, it takes connections and says nothing, as a busy server does
        self.shakes_hands.set()
        self.page_size = 0  # a smaller page than the client asks for
        self.requests: list[str] = []
        self.asked: list[Asked] = []
        self.accepts: set[str] | None = None  # the Authorization headers that it knows; None: it asks for none
        self.texts = {"/readyz": "ok"}  # what is answered at a path that is no list
        self.prefix = ""  # in front of every path, as behind a gateway
        self.version_said = "v1.34.4"
        self.forbidden: set[tuple[str, str]] = set()  # verbs and resources that the user may not
        self.uid = "11111111-2222-3333-4444-555555555555"  # of the namespace kube-system
        self.lease: dict[str, Any] | None = None  # the one that there is
        # What the one ConfigMap says, None where it is not there: here the owner allows everything.
        self.guard: dict[str, str] | None = {"guard": "{nodes: '', control_plane: true, most_nodes: 100%}"}
        self.runs: dict[str, tuple[str, str, int]] = {}  # commands in pods: what they print, say and exit with
        self.ends_with: bytes | None = None  # a command's last word, instead of the Status of its exit code
        self.bookmarks = True
        # What becomes of an event, or an answer, on its way.
        self.spoils: Callable[[dict[str, Any]], object] | None = None
        self.breaks_watches = False  # after the first half of what they carry
        self.goes_on = threading.Event()  # cleared, the second half of what a watch carries does not come
        self.goes_on.set()
        self._watches = self._silenced = 0  # how many there were, and how many of the first say nothing more
        self.changed = threading.Condition(threading.RLock())
        self._open: set[socket.socket] = set()
        self._closed = False
        handler = type("Handler", (_Handler,), {"api": self})
        family = {"address_family": socket.AF_INET6 if ":" in address else socket.AF_INET}
        self._server = type("Server", (ThreadingHTTPServer,), family)((address, 0), handler)
        self._server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(PKI / "server.crt", PKI / "server.key")
            context.load_verify_locations(PKI / "ca.crt")
            context.verify_mode = ssl.CERT_OPTIONAL
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.port = int(self._server.server_address[1])
        self.url = f"{'https' if tls else 'http'}://{f'[{address}]' if ':' in address else address}:{self.port}"
        self.kubeconfig = directory / f"kubeconfig-{self._server.server_address[1]}"
        authority = {"certificate-authority": str(PKI / "ca.crt")} if tls else {}
        self.config: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.url, **authority}}],
            "users": [{"name": "fake", "user": {}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(self.config))

    def client(self) -> ApiClient:
        return api_client(self.kubeconfig)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self.changed:
            self._closed = True
            self.hanging.clear()
            self.shakes_hands.set()
            self.goes_on.set()
            self.changed.notify_all()
        self.cut()
        self._server.shutdown()
        self._server.server_close()

    # --- what happens in the cluster

    def put(self, resource: str, uid: str, **fields: Any) -> None:
        """Create an object, or change it where it is there."""
        with self.changed:
            self.version += 1
            known = self.objects[resource].get(uid)
            metadata = {"name": uid, "uid": uid, "namespace": "default", **fields.pop("metadata", {})}
            item = {**PARTS.get(resource, {}), **fields, "metadata": {**metadata, "resourceVersion": str(self.version)}}
            self.objects[resource][uid] = item
            self.log[resource].append(("ADDED" if known is None else "MODIFIED", item))
            self.changed.notify_all()

    def put_node(
        self, name: str, *, control_plane: bool = False, ready: bool = True, allowed: bool = True, taint: str = ""
    ) -> None:
        """A node with all that a Node says of itself; `allowed`: with the label that a guard asks for by default."""
        labels = {"kube-ordeal/allowed": "true"} if allowed else {}
        said = ("architecture", "bootID", "kubeProxyVersion", "kubeletVersion", "machineID", "systemUUID")
        info = {
            **dict.fromkeys(said, "x"),
            "operatingSystem": "linux",
            "kernelVersion": "6.1.0-fit",
            "osImage": "Fitting Linux",
            "containerRuntimeVersion": "containerd://2.1.4",
        }
        status = {
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "nodeInfo": info,
            "capacity": {"pods": "110"},
        }
        plane = {CONTROL_PLANE_LABEL: ""} if control_plane else {}
        spec = {"taints": [{"key": taint, "effect": "NoSchedule"}]} if taint else {}
        self.put("nodes", name, metadata={"labels": {**labels, **plane}}, spec=spec, status=status)

    def delete(self, resource: str, uid: str) -> None:
        with self.changed:
            self.version += 1
            item = self.objects[resource].pop(uid)
            item = {**item, "metadata": {**item["metadata"], "resourceVersion": str(self.version)}}
            self.log[resource].append(("DELETED", item))
            self.changed.notify_all()

    def say_again(self, resource: str) -> None:
        """Send the last change a second time."""
        with self.changed:
            self.log[resource].extend(self.log[resource][-1:])
            self.changed.notify_all()

    def send(self, resource: str, event: str, item: dict[str, Any]) -> None:
        """Send any event, whatever the state is."""
        with self.changed:
            self.log[resource].append((event, item))
            self.changed.notify_all()

    # --- what goes wrong

    def compact(self) -> None:
        with self.changed:
            self.compacted = self.version

    def cut(self) -> None:
        """Break every open connection, in the middle of whatever it carries."""
        with self.changed:
            for connection in list(self._open):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def answer_again(self) -> None:
        """End the hanging."""
        with self.changed:
            self.hanging.clear()
            self.changed.notify_all()

    def silence_watches(self) -> None:
        """Those that are open neither say anything more nor end; new ones are as ever."""
        with self.changed:
            self._silenced = self._watches
            self.changed.notify_all()

    def stall(self) -> None:
        """Keep every connection open and say nothing more on any, as a frozen server does."""
        self.hanging.set()


class _Handler(BaseHTTPRequestHandler):
    api: FakeApiServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class calls it so)
        pass

    def setup(self) -> None:
        super().setup()
        with self.api.changed:
            self.api._open.add(self.connection)
        self.api.shakes_hands.wait()

    def finish(self) -> None:
        with self.api.changed:
            self.api._open.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def do_GET(self) -> None:
        api = self.api
        with api.changed:
            api.requests.append(self.path)
            self._note()
            api.changed.wait_for(lambda: not api.hanging.is_set())
            if api._closed:
                self.close_connection = True
                return
        url = urlsplit(self.path.removeprefix(api.prefix))
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        resource = url.path.rsplit("/", 1)[-1]
        if not self.path.startswith(api.prefix):
            self._answer(404, {"kind": "Status", "code": 404, "message": "not here"})
        elif api.accepts is not None and self.headers["Authorization"] not in api.accepts:
            self._answer(401, {"kind": "Status", "code": 401, "message": "Unauthorized"})
        elif api.refuse:
            self._answer(api.refuse, {"kind": "Status", "code": api.refuse, "message": "refused"})
        elif url.path.startswith("/version"):
            self._answer(200, {"gitVersion": api.version_said})
        elif url.path in api.texts:
            text = api.texts[url.path]
            self._send(200, text.encode(), "application/json" if text.startswith("{") else "text/plain")
        elif self.headers["Upgrade"] == "websocket":
            self._exec(parse_qs(url.query)["command"])
        elif ("list", resource) in api.forbidden:
            said = f'{resource} is forbidden: User "few" cannot list resource "{resource}" in API group ""'
            self._answer(403, {"kind": "Status", "code": 403, "message": said})
        elif query.get("watch", "").lower() == "true":
            self._watch(url.path.rsplit("/", 1)[-1], query)
        elif url.path == "/api/v1/namespaces/kube-system":
            self._answer(200, {"kind": "Namespace", "metadata": {"name": "kube-system", "uid": api.uid}})
        elif url.path == GUARD or "/leases/" in url.path:
            self._answer_held(url.path)
        else:
            *_, scope, resource = url.path.rsplit("/", 2)
            self._list(resource, query, scope if "/namespaces/" in url.path else "")

    def _put_lease(self, given: dict[str, Any]) -> None:
        """As the API server: who did not see the last change is told so."""
        with self.api.changed:
            self.api.version += 1
            was = self.api.lease
            seen = given["metadata"].get("resourceVersion")
            if (was is not None or seen) and (was is None or seen != was["metadata"]["resourceVersion"]):
                self._answer(409, {"kind": "Status", "code": 409, "message": "somebody was sooner"})
                return
            given["metadata"]["resourceVersion"] = str(self.api.version)
            given["metadata"]["managedFields"] = [noted_at(datetime.now(UTC))]
            self.api.lease = given
        self._answer(200, given)

    def _answer_held(self, path: str) -> None:
        """The ConfigMap or the Lease, whichever is at that path."""
        metadata = {"name": GUARD.rsplit("/", 1)[-1], "namespace": "kube-system"}
        guard = None if self.api.guard is None else {"kind": "ConfigMap", "metadata": metadata, "data": self.api.guard}
        found = guard if path == GUARD else self.api.lease
        self._answer(200 if found else 404, found or GONE)

    def _given(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def do_PUT(self) -> None:
        given = self._given()
        if self.path != GUARD:
            self._put_lease(given)
            return
        self.api.guard = given["data"]
        self._answer_held(GUARD)

    def do_PATCH(self) -> None:
        """What a merge adds to the data of the ConfigMap, or to the annotations of the Lease."""
        api, given = self.api, self._given()
        if api.refuse:
            self._answer(api.refuse, {"kind": "Status", "code": api.refuse, "message": "refused"})
            return
        with api.changed:
            if self.path == GUARD and api.guard is not None:
                api.guard = {**api.guard, **given["data"]}
            elif self.path != GUARD and api.lease is not None:
                api.version += 1
                metadata = {**api.lease["metadata"], "resourceVersion": str(api.version)}
                metadata["annotations"] = {**metadata.get("annotations", {}), **given["metadata"]["annotations"]}
                api.lease = {**api.lease, "metadata": metadata}
        self._answer_held(self.path)

    def _list(self, resource: str, query: dict[str, str], namespace: str) -> None:
        with self.api.changed:
            items = list(self.api.objects.get(resource, {}).values())  # of what nobody puts in there is none
            items = [item for item in items if namespace in {"", item["metadata"]["namespace"]}]
            version = self.api.version
        start = int(query.get("continue", "0"))
        limit = self.api.page_size or int(query.get("limit", "0")) or len(items)
        metadata = {"resourceVersion": str(version)}
        if start + limit < len(items):
            metadata["continue"] = str(start + limit)
        self._answer(200, {"kind": "List", "metadata": metadata, "items": items[start : start + limit]})

    def _watch(self, resource: str, query: dict[str, str]) -> None:
        api, since = self.api, int(query["resourceVersion"])
        with api.changed:
            api._watches += 1
            number = api._watches
        gone = {"kind": "Status", "code": 410, "message": "too old resource version", "metadata": {}}
        with api.changed:
            log = api.log.setdefault(resource, [])
            position = next(
                (i for i, (_, o) in enumerate(log) if int(o["metadata"]["resourceVersion"]) > since), len(log)
            )
            too_old = since < api.compacted
        if too_old and not api.gone_as_event:
            self._answer(410, gone)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if too_old:
            self._chunk({"type": "ERROR", "object": gone})
            self._end()
            return
        end = time.monotonic() + int(query["timeoutSeconds"])
        hurried = int(query["timeoutSeconds"]) <= 3
        while time.monotonic() < end and not api._closed:
            with api.changed:
                if len(log) == position:
                    api.changed.wait(0.02 if hurried else 0.2)
                if number <= api._silenced:
                    api.changed.wait_for(lambda: api._closed)
                    return
                api.changed.wait_for(lambda: not api.hanging.is_set())
                news, position = log[position:], len(log)
                version = api.version
            if news:
                self._chunk(*({"type": kind, "object": item} for kind, item in news))
            if hurried and api.bookmarks and resource != "events":  # as the real one, which has no watch cache of them
                self._chunk({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}})
        self._end()

    def do_POST(self) -> None:
        """A SelfSubjectAccessReview, the Lease of a claim, and the guard; nothing else is made here."""
        api = self.api
        asked = self._given()
        with api.changed:
            api.requests.append(self.path)
            self._note()
        if self.path.endswith("/leases"):
            self._put_lease(asked)
            return
        if self.path == GUARD.rsplit("/", 1)[0]:
            self._create_guard(asked)
            return
        if not self.path.endswith("/selfsubjectaccessreviews"):
            self._answer(404, {"kind": "Status", "code": 404, "message": "not here"})
            return
        of = asked["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, (of["resource"], of.get("subresource"))))
        allowed = (of["verb"], resource) not in api.forbidden
        self._answer(201, {**asked, "status": {"allowed": allowed}})

    def _create_guard(self, asked: dict[str, Any]) -> None:
        status = self.api.refuse or (409 if self.api.guard is not None else 0)
        if status:
            self._answer(status, {"kind": "Status", "code": status, "message": "refused"})
            return
        self.api.guard = asked["data"]
        self._answer_held(GUARD)

    def do_DELETE(self) -> None:
        """Only the Lease may be deleted here, and what says so is no Status: something in front of the server."""
        if "/leases/" in self.path:
            with self.api.changed:
                self.api.lease = None
            self._answer(200, {"kind": "Status", "status": "Success"})
            return
        self._send(403, b"<html>no</html>", "text/html")

    def _note(self) -> None:
        held: Any = self.connection
        shown: Any = (held.getpeercert() or {}) if isinstance(held, ssl.SSLSocket) else {}
        name = next((value for part in shown.get("subject", ()) for key, value in part if key == "commonName"), "")
        self.api.asked.append(Asked(self.path, self.headers, name))

    def _exec(self, command: list[str]) -> None:
        """Run a command of `runs`, in the channels of v4.channel.k8s.io."""
        out, err, code = self.api.runs[" ".join(command)]
        accept = hashlib.sha1(f"{self.headers['Sec-WebSocket-Key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode())
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept.digest()).decode())
        self.send_header("Sec-WebSocket-Protocol", self.headers["Sec-WebSocket-Protocol"])
        self.end_headers()
        status: dict[str, Any] = {"status": "Success"}
        if code:
            causes = [{"reason": "ExitCode", "message": str(code)}]
            status = {"status": "Failure", "details": {"causes": causes}}
        frames = [(1, piece) for piece in _pieces(out)] + [(2, piece) for piece in _pieces(err)]
        last = json.dumps(status).encode() if self.api.ends_with is None else self.api.ends_with
        for channel, data in [*frames, (3, last)]:
            self.wfile.write(_frame(0x82, bytes([channel]) + data))
        self.wfile.write(_frame(0x88, struct.pack(">H", 1000)))
        self.close_connection = True

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        self._send(status, json.dumps(self._spoilt(body)).encode(), "application/json")

    def _spoilt(self, said: dict[str, Any]) -> object:
        return said if self.api.spoils is None else self.api.spoils(said)

    def _send(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _chunk(self, *events: dict[str, Any]) -> None:
        """Events in two chunks and four writes, so that chunks and cuts fall into the middle of lines."""
        data = b"".join(json.dumps(self._spoilt(event)).encode() + b"\n" for event in events)
        for part in (data[: len(data) // 2], data[len(data) // 2 :]):
            raw = f"{len(part):x}\r\n".encode() + part + b"\r\n"
            self.wfile.write(raw[: len(raw) // 2])
            if self.api.breaks_watches:
                raise ConnectionError("broken off")
            self.api.goes_on.wait()
            self.wfile.write(raw[len(raw) // 2 :])

    def _end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")


def _pieces(text: str) -> Iterator[bytes]:
    """In pieces that cut characters in the middle."""
    data = text.encode()
    yield from (data[start : start + 7] for start in range(0, len(data), 7))


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    return struct.pack(">BB", first, size) + payload if size < 126 else struct.pack(">BBH", first, 126, size) + payload
