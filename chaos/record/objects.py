"""API objects as evidence keeps them: of our own namespaces and the system's, and without what others have put in.

Values of env, of commands' words, of annotations and of volumes' attributes go from every object, from ours too: what
is ours stands in manifests/, and what a cluster's admission adds to our pods is not ours. Of a command the names of its
flags stay, with the values of HARMLESS ones. Every text that stays has been scrubbed (chaos.basics.scrub).
"""

import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from chaos.basics.scrub import REMOVED, scrub

PAGE = 500
MAX_OBJECTS = 5000  # of one resource
MAX_BYTES = 16 * 1024**2
OURS = "ordeal-"  # each namespace that a run makes begins so (Lab.deploy, chaos.subjects.volumes.pool)
OUR_NAMES, OUR_LABELS = (OURS, "kube-ordeal-"), "kube-ordeal/"  # of what a run puts into a namespace that is there
SYSTEM = ("kube-system",)
DEFAULT, NODE_LEASES = "default", "kube-node-lease"
# Flags of the control plane whose values decide what becomes of an incident, and can't be anybody's secret.
HARMLESS = frozenset(
    {
        *("node-monitor-period", "node-monitor-grace-period", "node-eviction-rate", "secondary-node-eviction-rate"),
        *("unhealthy-zone-threshold", "large-cluster-size-threshold", "terminated-pod-gc-threshold"),
        *("default-not-ready-toleration-seconds", "default-unreachable-toleration-seconds"),
        *("leader-elect", "leader-elect-lease-duration", "leader-elect-renew-deadline", "leader-elect-retry-period"),
        *("feature-gates", "enable-admission-plugins", "disable-admission-plugins", "authorization-mode"),
        *("watch-cache", "event-ttl", "request-timeout", "goaway-chance", "kube-api-qps", "kube-api-burst", "v"),
        *("max-requests-inflight", "max-mutating-requests-inflight", "disable-force-detach-on-timeout"),
        *("attach-detach-reconcile-sync-period", "disable-attach-detach-reconcile-sync", "controllers"),
        *("heartbeat-interval", "election-timeout", "quota-backend-bytes", "snapshot-count", "client-cert-auth"),
    }
)
_FLAG = re.compile(r"(--?([a-z][a-z0-9-]*))(=.*)?", re.DOTALL)
_PROGRAM = re.compile(r"[\w./-]{1,200}")
_WITH_VALUES = frozenset({"annotations", "volumeAttributes", "attachmentMetadata", "options"})
# Written by kubectl with the whole object in it; who manages which field; a node's images, which are everybody's.
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_LEFT_OUT = frozenset({LAST_APPLIED, "managedFields", "images", "inlineVolumeSpec"})

Get = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Kept:
    """The text of a file, and a sentence for what was cut from it; "" where it is whole."""

    text: str
    cut: str = ""


@dataclass(frozen=True, slots=True)
class Listable:
    """What can be listed: its path up to its name; whether it is in namespaces, and in which others some are ours."""

    path: str
    namespaced: bool = False
    also: tuple[str, ...] = ()


RESOURCES = {
    "nodes": Listable("/api/v1"),
    "pods": Listable("/api/v1", namespaced=True, also=(DEFAULT,)),
    "events": Listable("/api/v1", namespaced=True, also=(DEFAULT,)),  # there are those of nodes
    "leases": Listable("/apis/coordination.k8s.io/v1", namespaced=True, also=(NODE_LEASES,)),
    "persistentvolumes": Listable("/api/v1"),
    "persistentvolumeclaims": Listable("/api/v1", namespaced=True, also=(DEFAULT,)),
    "volumeattachments": Listable("/apis/storage.k8s.io/v1"),
}


def is_ours(namespace: str) -> bool:
    """Whether evidence may be of that namespace."""
    return namespace in SYSTEM or namespace.startswith(OURS)


def our_namespaces(get: Get) -> tuple[str, ...]:
    """Those that are there and that evidence may be of. `get` answers a path of the API; raises what it raises."""
    names = (str(item["metadata"]["name"]) for item in _pages(get, "/api/v1/namespaces"))
    return tuple(name for name in names if is_ours(name))


def kept(get: Get, name: str, namespaces: Collection[str]) -> Kept:
    """The objects of one of RESOURCES, one a line in a JSON list. Raises what `get` raises at the first page.

    More than MAX_OBJECTS or MAX_BYTES are cut; so is what can't be had any more after that.
    """
    resource = RESOURCES[name]
    lines: list[str] = []
    size_bytes, cut = 0, ""
    try:
        for item in _items(get, name, resource, namespaces):
            line = json.dumps(_reduced(item), separators=(",", ":"))
            size_bytes += len(line)
            if len(lines) == MAX_OBJECTS or size_bytes > MAX_BYTES:
                cut = f"cut: the first {len(lines)} {name} are kept, there are more"
                break
            lines.append(line)
    except Exception as error:
        if not lines:
            raise
        cut = scrub(f"cut: after {len(lines)} {name} the list broke off: {error}").splitlines()[0][:300]
    head = f'{{"kind":"List","cut":{json.dumps(cut)},"items":[' if cut else '{"kind":"List","items":['
    return Kept("\n".join([head, ",\n".join(lines), "]}", ""]), cut)


def _items(get: Get, name: str, resource: Listable, namespaces: Collection[str]) -> Iterator[Any]:
    if not resource.namespaced:
        yield from (item for item in _pages(get, f"{resource.path}/{name}") if _is_free_or_ours(item))
        return
    for namespace in (*namespaces, *resource.also):
        for item in _pages(get, f"{resource.path}/namespaces/{namespace}/{name}"):
            if namespace != DEFAULT or _is_ours_by_name(item):
                yield item


def _pages(get: Get, path: str) -> Iterator[Any]:
    """All items, a page at a time (Kubernetes API concepts, "Retrieving large results sets in chunks")."""
    onward = ""
    while True:
        page = json.loads(get(f"{path}?limit={PAGE}{f'&continue={quote(onward)}' if onward else ''}"))
        yield from page.get("items") or ()
        onward = (page.get("metadata") or {}).get("continue") or ""
        if not onward:
            return


def _is_free_or_ours(item: Any) -> bool:
    """A volume that is claimed belongs to its claim's namespace."""
    claim = (item.get("spec") or {}).get("claimRef")
    return claim is None or is_ours(claim.get("namespace", "")) or claim.get("name", "").startswith(OUR_NAMES)


def _is_ours_by_name(item: Any) -> bool:
    """Whether an object of a namespace that everybody uses is ours; an event, whether it is about a node or ours."""
    metadata, about = item.get("metadata") or {}, item.get("involvedObject") or {}
    if about.get("kind") == "Node":
        return True
    name = str(about.get("name") or metadata.get("name") or "")
    return name.startswith(OUR_NAMES) or any(label.startswith(OUR_LABELS) for label in metadata.get("labels") or ())


def _reduced(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        there = {key: each for key, each in value.items() if key not in _LEFT_OUT}
        hidden = name in _WITH_VALUES
        return dict.fromkeys(there, REMOVED) if hidden else {key: _reduced(each, key) for key, each in there.items()}
    if isinstance(value, list):
        return _reduced_list(value, name)
    return scrub(value) if isinstance(value, str) else value


def _reduced_list(values: list[Any], name: str) -> list[Any]:
    if name in {"command", "args"}:
        return [_word(str(each), first=name == "command" and not n) for n, each in enumerate(values)]
    if name in {"env", "httpHeaders"}:
        return [{**_reduced(each), **({"value": REMOVED} if each.get("value") else {})} for each in values]
    return [_reduced(each) for each in values]


def _word(word: str, *, first: bool) -> str:
    """What stays of a word of a command; `first`: it is the program."""
    flag = _FLAG.fullmatch(word)
    if flag is None:
        return word if first and _PROGRAM.fullmatch(word) else REMOVED
    dashed, name, value = flag.groups()
    if value is None:  # -psecret is one word, too
        return word if dashed.startswith("--") or len(word) == 2 else f"{word[:2]}{REMOVED}"
    return scrub(word) if name in HARMLESS else f"{dashed}={REMOVED}"
