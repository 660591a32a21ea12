"""What mitmproxy does to the answers of an API server: loaded by mitmdump, told by a PUT to /hostile what it is to be.

The trouble is JSON: {"kind": KIND, ...}, {} for none. It counts for what comes from then on, in open watches too.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from mitmproxy import http

NAMED_LABEL = "kube-ordeal/hostile"


class Hostile:
    """One trouble at a time; see `KINDS`."""

    def __init__(self) -> None:
        self.trouble: dict[str, Any] = {}
        self.done = 0  # how often it has been done since it was told

    def request(self, flow: http.HTTPFlow) -> None:
        if flow.request.path == "/hostile":
            if flow.request.method == "PUT":
                self.trouble, self.done = json.loads(flow.request.content or b"{}"), 0
            flow.response = http.Response.make(200, json.dumps({"done": self.done}))
            return
        given = flow.request.headers.pop("Authorization", "")  # to the server this proxy is the one who asks
        kind = self.trouble.get("kind")
        if kind == "expired" and given != f"Bearer {self.trouble['token']}":
            flow.response = self._refusal(401, "Unauthorized", {})
        elif kind == "status" and self._meant(flow):
            said, headers = self.trouble.get("message", "hostile"), self.trouble.get("headers", {})
            flow.response = self._refusal(self.trouble["code"], said, headers)

    def _refusal(self, code: int, message: str, headers: dict[str, str]) -> http.Response:
        self.done += 1
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code}
        headers = {"Content-Type": "application/json", **headers}
        return http.Response.make(code, json.dumps({**status, "message": message}), headers)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        assert flow.response is not None
        if _watches(flow):
            flow.response.stream = _Watch(self, flow).feed

    def response(self, flow: http.HTTPFlow) -> None:
        assert flow.response is not None
        shape = self.shape(flow, "answers")
        if shape is None or flow.response.stream or flow.response.status_code >= 300:
            return
        self.done += 1
        flow.response.content = shape(flow.response.content or b"")

    def shape(self, flow: http.HTTPFlow, of: str) -> Callable[[bytes], bytes] | None:
        """How what is meant is to be changed; `of`: "events" of watches, or "answers" that are none."""
        meant = self.trouble.get("kind") == of and self._meant(flow)
        return (lambda data: SHAPES[of][self.trouble["shape"]](data, self.trouble)) if meant else None

    def _meant(self, flow: http.HTTPFlow) -> bool:
        which = self.trouble.get("only", "")
        return bool(re.search(self.trouble.get("path", ""), flow.request.path)) and (
            not which or (which == "watches") == _watches(flow)
        )


class _Watch:
    """The lines of one watch."""

    def __init__(self, hostile: Hostile, flow: http.HTTPFlow) -> None:
        self.hostile, self.flow, self.rest = hostile, flow, b""

    def feed(self, piece: bytes) -> bytes:
        """What goes on to the client of the bytes that came."""
        *lines, self.rest = (self.rest + piece).split(b"\n")
        if not piece:  # the end
            last, self.rest = self.rest, b""
            return last
        return b"".join(self._changed(line) + b"\n" for line in lines)

    def _changed(self, line: bytes) -> bytes:
        shape = self.hostile.shape(self.flow, "events")
        if shape is None or b'"BOOKMARK"' in line[:40]:
            return line
        self.hostile.done += 1
        return shape(line)


def _watches(flow: http.HTTPFlow) -> bool:
    return str(flow.request.query.get("watch", "")).lower() in {"true", "1"}


Change = Callable[[Any], Any]


def _edit(change: Change) -> Callable[[bytes, dict[str, Any]], bytes]:
    def edited(data: bytes, _trouble: dict[str, Any]) -> bytes:
        try:
            held = json.loads(data)
        except ValueError:
            return data  # /readyz is no JSON
        return json.dumps(change(held)).encode()

    return edited


def _with(**changed: object) -> Change:
    """The object, or each item of a list, with other fields; "metadata__uid" is the uid in its metadata."""

    def change(held: Any) -> object:
        if isinstance(held, dict) and isinstance(held.get("items"), list):
            return {**held, "items": [change(item) for item in held["items"]]}
        if not isinstance(held, dict):
            return held
        held = dict(held)
        for path, value in changed.items():
            *outer, last = path.split("__")
            into = held
            for name in outer:
                into[name] = dict(into.get(name) or {})
                into = into[name]
            into[last] = value
        return held

    return change


def _inside(change: Change) -> Change:
    return lambda event: {**event, "object": change(event["object"])}


_STATUS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "hostile", "code": 500}


def _huge(data: bytes, trouble: dict[str, Any]) -> bytes:
    held = json.loads(data)
    item = held.get("object", held)
    for each in item["items"] if isinstance(item.get("items"), list) else [item]:
        metadata = each.setdefault("metadata", {})
        metadata["annotations"] = {**(metadata.get("annotations") or {}), NAMED_LABEL: "x" * trouble["bytes"]}
        break
    return json.dumps(held).encode()


# What each object may be instead of what it is.
_ODD: dict[str, Change] = {
    "string": lambda _: "surprise",
    "list": lambda _: ["surprise"],
    "null": lambda _: None,
    "number": lambda _: 7,
    "empty": lambda _: {},
    "status": lambda _: _STATUS,
    "null-metadata": _with(metadata=None),
    "metadata-list": _with(metadata=["surprise"]),
    "labels-list": _with(metadata__labels=["surprise"]),
    "name-number": _with(metadata__name=7),
    "uid-missing": _with(metadata__uid=None),
    "version-word": _with(metadata__resourceVersion="surprise"),
    "status-string": _with(status="surprise"),
    "spec-list": _with(spec=["surprise"]),
    "conditions-strings": _with(status__conditions=["surprise"]),
}
_NO_JSON: dict[str, Callable[[bytes, dict[str, Any]], bytes]] = {
    "html": lambda _data, _trouble: b"<html><body>gateway</body></html>",
    "half": lambda data, _trouble: data[: len(data) // 2],
    "binary": lambda _data, _trouble: bytes(range(256)),
    "huge": _huge,
}
SHAPES = {
    "answers": {
        **{name: _edit(change) for name, change in _ODD.items()},
        "items-null": _edit(lambda held: {**held, "items": None} if isinstance(held, dict) else held),
        "items-string": _edit(lambda held: {**held, "items": "surprise"} if isinstance(held, dict) else held),
        "items-strings": _edit(lambda held: {**held, "items": ["surprise"]} if isinstance(held, dict) else held),
        "items-nulls": _edit(lambda held: {**held, "items": [None]} if isinstance(held, dict) else held),
        **_NO_JSON,
    },
    "events": {
        **{name: _edit(_inside(change)) for name, change in _ODD.items()},
        "event-string": _edit(lambda _: "surprise"),
        "event-list": _edit(lambda _: ["surprise"]),
        "event-type": _edit(lambda event: {**event, "type": "SURPRISE"}),
        "error-410": _edit(lambda _: {"type": "ERROR", "object": {**_STATUS, "code": 410}}),
        "error-string": _edit(lambda _: {"type": "ERROR", "object": "surprise"}),
        **_NO_JSON,
    },
}

addons = [Hostile()]
