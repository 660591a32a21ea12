"""What the kubeconfig's user may do on a cluster, asked of the API server before anything is done to it."""

import json
from dataclasses import dataclass

from kubernetes.client import ApiClient

from chaos.clusters.way.client import transport_of
from chaos.errors import OrdealError

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
CREATED = 201


@dataclass(frozen=True, slots=True)
class Right:
    """A verb on a resource, in all namespaces; `group` is "" for the core."""

    verb: str
    resource: str
    group: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


# What the recorder and every workload need; a replay may need more.
NEEDED = (
    *(Right(verb, resource) for resource in ("nodes", "pods", "events") for verb in ("list", "watch")),
    *(Right(verb, "namespaces") for verb in ("create", "delete")),
    Right("create", "deployments", "apps"),
    Right("create", "services"),
    Right("create", "pods"),
    *(Right(verb, "leases", "coordination.k8s.io") for verb in ("get", "create", "update", "patch", "delete")),
    Right("get", "configmaps"),
)


def lacking(client: ApiClient) -> tuple[Right, ...]:
    """Those that replays need and the user has not. Raises HTTPError."""
    return tuple(right for right in NEEDED if not _may(client, right))


def require(client: ApiClient) -> None:
    """Raises OrdealError, with their names, where rights lack that replays need."""
    if those := lacking(client):
        *most, last = map(str, those)
        named = f"{', '.join(most)} or {last}" if most else last
        raise OrdealError(
            f"the kubeconfig's user may not {named} (in all namespaces) on the cluster at "
            f"{client.configuration.host}; take one with these rights, such as one bound to cluster-admin"
        )


def _may(client: ApiClient, right: Right) -> bool:
    """Whether the user may; True where the API server does not tell."""
    attributes = {"verb": right.verb, "resource": right.resource, "group": right.group}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = transport_of(client).request(
        "POST",
        f"{client.configuration.host}{REVIEWS}",
        body=json.dumps(review).encode(),
        headers={"Content-Type": "application/json", "Accept": "application/json"},
    )
    if answer.status != CREATED:
        return True
    try:
        return bool(json.loads(answer.data)["status"].get("allowed"))
    except (ValueError, KeyError, AttributeError):
        return True
