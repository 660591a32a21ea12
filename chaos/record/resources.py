"""Resources that can be watched, and how their objects become records.

`item` is a JSON object of the API; absent and null mean the same there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from chaos.clusters.way.client import CONTROL_PLANE_LABEL
from chaos.record.records import ClusterEvent, NodeChange, PodChange
from chaos.workloads.base import WORKLOAD_LABEL

Change = NodeChange | PodChange | ClusterEvent


class OddObjectError(Exception):
    """The API server sent what is no object of the resource; the text says what is wrong with it."""


def metadata_of(item: Any) -> Any:
    """An object's metadata; empty where it has none."""
    return item.get("metadata") or {}


def version_of(item: Any) -> str:
    """The resourceVersion of an object or a list, which is a number. Raises OddObjectError where there is none."""
    metadata = item.get("metadata") if isinstance(item, dict) else None
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if not isinstance(version, str) or not (version.isascii() and version.isdecimal()):
        raise OddObjectError(f"what should have a resourceVersion has none: {_beginning(item)}")
    return version


def uid_of(item: Any) -> str:
    """What one object alone has. Raises OddObjectError where it has none."""
    metadata = item.get("metadata") if isinstance(item, dict) else None
    uid = metadata.get("uid") if isinstance(metadata, dict) else None
    if not isinstance(uid, str) or not uid:
        raise OddObjectError(f"what should be an object has no uid: {_beginning(item)}")
    return uid


def _beginning(item: Any) -> str:
    text = repr(item)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _node(at: float, change: str, item: Any) -> NodeChange:
    metadata, spec, status = metadata_of(item), item.get("spec") or {}, item.get("status") or {}
    addresses = {a["type"]: a["address"] for a in status.get("addresses") or ()}
    labels = metadata.get("labels") or {}
    return NodeChange(
        at=at,
        name=metadata["name"],
        change=change,
        ready=next((c["status"] for c in status.get("conditions") or () if c["type"] == "Ready"), "Unknown"),
        taints=tuple(f"{t['key']}:{t['effect']}" for t in spec.get("taints") or ()),
        zone=labels.get("topology.kubernetes.io/zone", ""),
        address=addresses.get("InternalIP", ""),
        unschedulable=bool(spec.get("unschedulable")),
        resource_version=metadata.get("resourceVersion", ""),
        pressures=tuple(
            c["type"]
            for c in status.get("conditions") or ()
            if c["type"].endswith("Pressure") and c["status"] == "True"
        ),
        kubelet=(status.get("nodeInfo") or {}).get("kubeletVersion") or "",
        control_plane=CONTROL_PLANE_LABEL in labels,
    )


def _pod(at: float, change: str, item: Any) -> PodChange:
    metadata, spec, status = metadata_of(item), item.get("spec") or {}, item.get("status") or {}
    ready, reason = False, status.get("reason") or ""
    for condition in status.get("conditions") or ():
        if condition["type"] == "Ready":
            ready = condition["status"] == "True"
        elif condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            reason = reason or condition.get("reason") or ""
    containers = status.get("containerStatuses") or ()
    running = (c.get("containerID") for c in containers if (c.get("state") or {}).get("running") is not None)
    return PodChange(
        at=at,
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        change=change,
        workload=(metadata.get("labels") or {}).get(WORKLOAD_LABEL, ""),
        phase=status.get("phase") or "",
        node=spec.get("nodeName") or "",
        ready=ready,
        deleting="deletionTimestamp" in metadata,
        restarts=sum(c.get("restartCount") or 0 for c in containers),
        containers=tuple(sorted(i for i in running if i)),
        reason=reason,
        resource_version=metadata.get("resourceVersion", ""),
    )


def _event(at: float, _change: str, item: Any) -> ClusterEvent:
    about = item.get("involvedObject") or {}
    parts = (about.get("kind"), about.get("namespace"), about.get("name"))
    return ClusterEvent(
        at=at,
        regarding="/".join(part or "" for part in parts),
        reason=item.get("reason") or "",
        message=item.get("message") or "",
        type=item.get("type") or "Normal",
        count=item.get("count") or (item.get("series") or {}).get("count") or 1,
        resource_version=metadata_of(item).get("resourceVersion", ""),
    )


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource that can be watched: the API client's method that lists it, what reads which record from an object.

    `bookmarks`: whether its watches carry any. Those of events do not: they have no watch cache
    (pkg/kubeapiserver/default_storage_factory_builder.go, DefaultWatchCacheSizes). But an event is only ever added or
    counted up until it expires, so having seen the newest one of a list is having seen them all.
    """

    name: str
    method: str
    read: Callable[[float, str, Any], Change]
    record: type[Change]
    bookmarks: bool = True

    def change(self, at: float, change: str, item: Any) -> Change:
        """The record of an object that was seen. Raises OddObjectError where it is none: a field is of another type."""
        try:
            made = self.read(at, change, item)
            # The functions above take what they find. A record has to be what its readers expect.
            msgspec.convert(msgspec.to_builtins(made), type(made))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise OddObjectError(f"an object of {self.name} is none ({type(error).__name__}: {error})"[:300]) from error
        return made


RESOURCES = {
    r.name: r
    for r in (
        Resource("nodes", "list_node", _node, NodeChange),
        Resource("pods", "list_pod_for_all_namespaces", _pod, PodChange),
        Resource("events", "list_event_for_all_namespaces", _event, ClusterEvent, bookmarks=False),
    )
}
