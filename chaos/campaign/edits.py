"""The edits: which field of which kind of object is edited, and to what. Each is one field of one object."""

import copy
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from chaos.errors import OrdealError

Step = str | int
Object = Mapping[str, Any]  # of the API, as JSON has it

NO_UID = "00000000-0000-4000-8000-000000000001"
NO_NAME, NO_NODE, NO_ADDRESS = "no-such-name", "no-such-node", "198.51.100.77"  # TEST-NET-2: nobody has it
WORKLOAD, SERVED_BY, HASH = "kube-ordeal/workload", "kube-ordeal/served-by", "pod-template-hash"
HOST = "kubernetes.io/hostname"


class Kind(StrEnum):
    """A kind of object that the campaign edits."""

    DEPLOYMENT = "Deployment"
    REPLICA_SET = "ReplicaSet"
    STATEFUL_SET = "StatefulSet"
    DAEMON_SET = "DaemonSet"
    POD = "Pod"
    SERVICE = "Service"
    ENDPOINTS = "Endpoints"
    SLICE = "EndpointSlice"
    REVISION = "ControllerRevision"
    CONFIG_MAP = "ConfigMap"
    NAMESPACE = "Namespace"
    NODE = "Node"
    LEASE = "Lease"


class Way(StrEnum):
    """How a field is edited."""

    WRONG = "wrong"
    MISSING = "missing"
    TYPE = "another type"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a kind, by its steps from the object's root; `wrong` is another value of its type, `odd` one of a type
    that it does not have.
    """

    kind: Kind
    path: tuple[Step, ...]
    wrong: object
    odd: object

    @property
    def name(self) -> str:
        """As people write it: "metadata.ownerReferences[0].uid"."""
        said = ""
        for step in self.path:
            said += f"[{step}]" if isinstance(step, int) or "/" in step or "-" in step else f".{step}"
        return said.lstrip(".")


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit."""

    field: Field
    way: Way

    @property
    def name(self) -> str:
        """What it is called in the table and in what is said."""
        return f"{self.field.kind} {self.field.name} {self.way}"


def _of(kind: Kind, *fields: tuple[tuple[Step, ...], object, object]) -> list[Field]:
    return [Field(kind, *each) for each in fields]


def _owner(uid: str = NO_UID) -> list[tuple[tuple[Step, ...], object, object]]:
    at = ("metadata", "ownerReferences", 0)
    return [
        ((*at, "uid"), uid, 7),
        ((*at, "name"), NO_NAME, {"is": "no name"}),
        ((*at, "kind"), "Ghost", 7),
        ((*at, "controller"), False, "yes"),
    ]


META, SPEC, STATUS = ("metadata",), ("spec",), ("status",)
LABELS, SELECTOR = (*META, "labels"), (*SPEC, "selector", "matchLabels")
TEMPLATE = (*SPEC, "template")
TEMPLATE_LABELS, TEMPLATE_POD = (*TEMPLATE, "metadata", "labels"), (*TEMPLATE, "spec")
CONTAINER = (*TEMPLATE_POD, "containers", 0)

FIELDS: Sequence[Field] = (
    *_of(
        Kind.DEPLOYMENT,
        ((*SPEC, "replicas"), 5, "three"),
        ((*SELECTOR, WORKLOAD), "other", 7),
        ((*TEMPLATE_LABELS, SERVED_BY), "other", 7),
        ((*CONTAINER, "image"), "other:1", 7),
        ((*TEMPLATE_POD, "nodeSelector"), {HOST: NO_NODE}, "a node"),
        ((*SPEC, "strategy", "type"), "Recreate", 7),
        ((*META, "uid"), NO_UID, 7),
        ((*META, "generation"), 99, "new"),
        ((*STATUS, "replicas"), 9, "two"),
    ),
    *_of(
        Kind.REPLICA_SET,
        *_owner(),
        ((*SPEC, "replicas"), 0, "three"),
        ((*SELECTOR, WORKLOAD), "other", 7),
        ((*TEMPLATE_LABELS, SERVED_BY), "other", 7),
        ((*LABELS, HASH), "other", 7),
        ((*META, "annotations", "deployment.kubernetes.io/revision"), "7", 7),
        ((*META, "uid"), NO_UID, 7),
        ((*STATUS, "readyReplicas"), 9, "two"),
    ),
    *_of(
        Kind.STATEFUL_SET,
        ((*SPEC, "replicas"), 1, "three"),
        ((*SELECTOR, WORKLOAD), "other", 7),
        ((*TEMPLATE_LABELS, WORKLOAD), "other", 7),
        ((*CONTAINER, "image"), "other:1", 7),
        ((*SPEC, "serviceName"), "other", 7),
        ((*SPEC, "updateStrategy", "type"), "OnDelete", 7),
        ((*META, "uid"), NO_UID, 7),
        ((*STATUS, "currentRevision"), "ordered-0", 7),
    ),
    *_of(
        Kind.DAEMON_SET,
        ((*SELECTOR, WORKLOAD), "other", 7),
        ((*TEMPLATE_POD, "nodeSelector", HOST), NO_NODE, 7),
        ((*CONTAINER, "image"), "other:1", 7),
        ((*META, "uid"), NO_UID, 7),
        ((*STATUS, "desiredNumberScheduled"), 9, "two"),
    ),
    *_of(
        Kind.POD,
        *_owner(),
        ((*LABELS, WORKLOAD), "other", 7),
        ((*LABELS, SERVED_BY), "other", 7),
        ((*LABELS, HASH), "other", 7),
        ((*SPEC, "nodeName"), NO_NODE, 7),
        ((*SPEC, "containers", 0, "image"), "other:1", 7),
        ((*SPEC, "terminationGracePeriodSeconds"), 600, "long"),
        ((*META, "uid"), NO_UID, 7),
        ((*META, "namespace"), "default", 7),
        ((*META, "deletionTimestamp"), "2020-01-01T00:00:00Z", 7),
        ((*STATUS, "phase"), "Failed", 7),
        ((*STATUS, "podIP"), NO_ADDRESS, 7),
        ((*STATUS, "conditions"), [{"type": "Ready", "status": "False"}], "Ready"),
    ),
    *_of(
        Kind.SERVICE,
        ((*SPEC, "selector", SERVED_BY), "other", 7),
        ((*SPEC, "selector"), {}, "web"),
        ((*SPEC, "clusterIP"), NO_ADDRESS, 7),
        ((*SPEC, "ports", 0, "port"), 81, {"is": "no port"}),
        ((*SPEC, "ports", 0, "targetPort"), 9999, 8.5),
        ((*SPEC, "type"), "NodePort", 7),
        ((*SPEC, "ipFamilies"), ["IPv6"], "IPv4"),
        ((*META, "uid"), NO_UID, 7),
    ),
    *_of(
        Kind.ENDPOINTS,
        (("subsets", 0, "addresses"), [{"ip": NO_ADDRESS}], "web"),
        (("subsets", 0, "ports", 0, "port"), 9999, "web"),
        (("subsets",), [], "web"),
    ),
    *_of(
        Kind.SLICE,
        ((*META, "ownerReferences", 0, "uid"), NO_UID, 7),
        ((*LABELS, "kubernetes.io/service-name"), "other", 7),
        ((*LABELS, "endpointslice.kubernetes.io/managed-by"), "other", 7),
        (("endpoints", 0, "addresses"), [NO_ADDRESS], "web"),
        (("endpoints", 0, "conditions", "ready"), False, "yes"),
        (("ports", 0, "port"), 9999, "web"),
        (("addressType",), "FQDN", 7),
    ),
    *_of(
        Kind.REVISION,
        ((*META, "ownerReferences", 0, "uid"), NO_UID, 7),
        ((*LABELS, WORKLOAD), "other", 7),
        (("revision",), 9, "new"),
        (("data",), {"spec": {}}, 7),
    ),
    *_of(
        Kind.CONFIG_MAP,
        (("data", "color"), "red", 7),
        (("data",), {}, "red"),
        ((*META, "uid"), NO_UID, 7),
    ),
    *_of(
        Kind.NAMESPACE,
        ((*SPEC, "finalizers"), ["kube-ordeal/nobody"], "kubernetes"),
        ((*STATUS, "phase"), "Terminating", 7),
        ((*META, "deletionTimestamp"), "2020-01-01T00:00:00Z", 7),
    ),
    *_of(
        Kind.NODE,
        ((*LABELS, HOST), NO_NODE, 7),
        ((*SPEC, "unschedulable"), True, "yes"),
        ((*SPEC, "taints"), [{"key": "kube-ordeal/edited", "effect": "NoExecute"}], "all"),
        ((*STATUS, "conditions"), [{"type": "Ready", "status": "False"}], "Ready"),
        ((*STATUS, "allocatable", "pods"), "0", {"is": "no quantity"}),
        ((*META, "uid"), NO_UID, 7),
    ),
    *_of(
        Kind.LEASE,
        ((*SPEC, "holderIdentity"), NO_NODE, 7),
        ((*SPEC, "renewTime"), "2020-01-01T00:00:00.000000Z", 7),
        ((*SPEC, "leaseDurationSeconds"), 1, "long"),
        ((*META, "ownerReferences", 0, "uid"), NO_UID, 7),
    ),
)  # fmt: skip


def every() -> tuple[Edit, ...]:
    """All edits: each field with a wrong value, without any, and with one of another type."""
    return tuple(Edit(field, way) for field in FIELDS for way in Way)


def sample(size: int, seed: int) -> tuple[Edit, ...]:
    """So many of them, in an order that the seed makes: where the time is over, what was tried is of all kinds. All
    where `size` is 0 or no less than there are.
    """
    edits = every()
    chosen = size if 0 < size < len(edits) else len(edits)
    return tuple(random.Random(seed).sample(edits, chosen))  # noqa: S311  (an order that can be made again)


def edited(item: Object, edit: Edit) -> dict[str, Any] | None:
    """The object with its field edited; None where it has no such field and there is nothing to take away.

    Raises OrdealError where what the field is in is not there.
    """
    changed: dict[str, Any] = copy.deepcopy(dict(item))
    *way, last = edit.field.path
    at: Any = changed
    for step in way:
        try:
            at = at[step]
        except (KeyError, IndexError, TypeError) as error:
            raise OrdealError(f"{edit.field.kind} has no {edit.field.name}: nothing to be edited") from error
    if at is None:
        raise OrdealError(f"{edit.field.kind} has no {edit.field.name}: nothing to be edited")
    if edit.way is not Way.MISSING:
        at[last] = edit.field.wrong if edit.way is Way.WRONG else edit.field.odd
        return changed
    try:
        del at[last]
    except (KeyError, IndexError, TypeError):
        return None
    return changed
