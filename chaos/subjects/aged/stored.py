"""Objects as older versions have written them to etcd, as JSON: the API server reads that as it reads protobuf."""

import json
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from kubernetes.client import ApiClient

from chaos.basics.untrusted import json_of
from chaos.clusters.way.client import raw_get, raw_list

SERVICES, REVISIONS = "/registry/services/specs", "/registry/controllerrevisions"
# What came with dual stack (KEP-563, 1.16 to 1.23) and is not stored of a Service that was only ever read since then.
DUAL_STACK = ("ipFamilies", "ipFamilyPolicy", "clusterIPs")
# Until 1.33 a time that is not set was written as null, which 1.34 leaves out: see kubernetes/kubernetes#135017.
NO_TIME = b'"creationTimestamp":null'
_FAMILIES = (b"IPv4", b"IPv6")


class Planted(msgspec.Struct, frozen=True):
    """etcd's key of an object, what it holds there, and what it is to hold; a journal has both in base64."""

    key: str
    was: bytes
    aged: bytes


def service_key(namespace: str, name: str) -> str:
    """Where etcd has a Service."""
    return f"{SERVICES}/{namespace}/{name}"


def is_aged(key: str, value: bytes) -> bool:
    """Whether a stored Service or ControllerRevision is as an older version wrote it. False for what is not there."""
    if key.startswith(SERVICES):
        return bool(value) and not any(family in value for family in _FAMILIES)
    return NO_TIME in value


def aged_service(client: ApiClient, namespace: str, name: str) -> bytes:
    """A Service as one from before dual stack is stored. Raises ApiException, OrdealError."""
    service = json_of(raw_get(client, f"/api/v1/namespaces/{namespace}/services/{name}"))
    service["spec"] = {key: value for key, value in service["spec"].items() if key not in DUAL_STACK}
    return written(service)


def aged_revisions(client: ApiClient, namespace: str, sets: Collection[str]) -> dict[str, bytes]:
    """By etcd's key each ControllerRevision of those StatefulSets as 1.33 wrote it. Raises ApiException, OrdealError.

    Its name keeps the hash of what it was: a controller that takes the two for different finds the name taken, and
    gives its own revision another one.
    """
    aged: dict[str, bytes] = {}
    for each in raw_list(client, f"/apis/apps/v1/namespaces/{namespace}/controllerrevisions"):
        owners = each["metadata"].get("ownerReferences") or ()
        if not any(owner["kind"] == "StatefulSet" and owner["name"] in sets for owner in owners):
            continue
        template = each["data"]["spec"]["template"]
        template["metadata"] = {"creationTimestamp": None, **template["metadata"]}
        whole = {"apiVersion": "apps/v1", "kind": "ControllerRevision", **each}
        aged[f"{REVISIONS}/{namespace}/{each['metadata']['name']}"] = written(whole)
    return aged


def written(item: Mapping[str, Any]) -> bytes:
    """An object, as JSON, as etcd has it: without the version, which is etcd's own."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "resourceVersion"}
    return json.dumps({**item, "metadata": metadata}, separators=(",", ":")).encode()
