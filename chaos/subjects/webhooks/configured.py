"""Whom a webhook is asked about: as it should be, and as it often is."""

import base64
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

NAME = "kube-ordeal-webhook"  # of the configuration
PODS, LEASES = "pods.webhook.kube-ordeal", "leases.webhook.kube-ordeal"
CONFIGURATIONS = "configurations.webhook.kube-ordeal"
SYSTEM, NODE_LEASES = "kube-system", "kube-node-lease"
TIMEOUT_S, SHIPPED_TIMEOUT_S = 2, 10  # of the hardened one; and what a webhook has that says nothing
NODES = "system:nodes"
# A kubelet's user is in that group. Source: kubernetes.io/docs/reference/access-authn-authz/node.
NOT_NODES = {"name": "not-nodes", "expression": f"!('{NODES}' in request.userInfo.groups)"}


class Asks(StrEnum):
    """What it is asked for.

    `hardened`: pods and leases, but not those of kube-system, of the nodes' leases and of its own namespace, nor by
    nodes; it has 2 s. `all`: pods of all namespaces, and leases of all but kube-system. `leaders`: really all.
    Each asks for changes of such configurations too, of which the API server never tells it.
    """

    HARDENED = "hardened"
    ALL = "all"
    LEADERS = "leaders"


def configuration(asks: Asks, own: str, port: int, authority: Path) -> Mapping[str, object]:
    """A ValidatingWebhookConfiguration of a webhook at that port of loopback, whose pods are in the namespace `own`."""
    without = {
        Asks.HARDENED: ((SYSTEM, NODE_LEASES, own), (SYSTEM, NODE_LEASES, own)),
        Asks.ALL: ((), (SYSTEM,)),
        Asks.LEADERS: ((), ()),
    }[asks]
    shared = {
        "clientConfig": {
            "url": f"https://127.0.0.1:{port}/",
            "caBundle": base64.b64encode(authority.read_bytes()).decode(),
        },
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Fail",
        "timeoutSeconds": TIMEOUT_S if asks is Asks.HARDENED else SHIPPED_TIMEOUT_S,
        "matchConditions": [NOT_NODES] if asks is Asks.HARDENED else [],
    }
    pods = {"name": PODS, **_rule("", "pods", ["CREATE"]), **_but(without[0]), **shared}
    leases = {
        "name": LEASES,
        **_rule("coordination.k8s.io", "leases", ["CREATE", "UPDATE"]),
        **_but(without[1]),
        **shared,
    }
    configurations = {
        "name": CONFIGURATIONS,
        **_rule("admissionregistration.k8s.io", "validatingwebhookconfigurations", ["UPDATE", "DELETE"]),
        **shared,
    }
    return {"metadata": {"name": NAME}, "webhooks": [pods, leases, configurations]}


def _rule(group: str, resource: str, operations: Sequence[str]) -> Mapping[str, object]:
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "resources": [resource], "operations": operations}
    return {"rules": [rule]}


def _but(namespaces: Sequence[str]) -> Mapping[str, object]:
    if not namespaces:
        return {}
    expression = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": list(namespaces)}
    return {"namespaceSelector": {"matchExpressions": [expression]}}
