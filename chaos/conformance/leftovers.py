"""What an e2e.test that was killed has left on the cluster: found by who made it, and taken away."""

from pathlib import Path
from typing import Any

from kubernetes.client import ApiClient, ApiException
from urllib3.exceptions import HTTPError

from chaos.clusters.way.client import api_client, raw_delete, raw_list

# Objects outside of namespaces that specs make. Webhooks first: one whose server is gone refuses what comes after.
_PATHS = (
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "/apis/apiregistration.k8s.io/v1/apiservices",
    "/api/v1/namespaces",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/scheduling.k8s.io/v1/priorityclasses",
    "/apis/node.k8s.io/v1/runtimeclasses",
    "/apis/storage.k8s.io/v1/storageclasses",
    "/apis/storage.k8s.io/v1/csidrivers",
    "/api/v1/persistentvolumes",
)


def remove(kubeconfig: Path, context: str, manager: str) -> tuple[str, ...]:
    """Delete what `manager` made (managedFields) and what is still there; returns the paths of those objects.

    What it only changed is left alone. Where the API server does not answer, nothing is done and nothing is raised.
    """
    client = api_client(kubeconfig, context)
    try:
        return tuple(each for path in _PATHS for each in _remove(client, path, manager))
    finally:
        client.close()  # type: ignore[no-untyped-call]


def made_by(manager: str, item: dict[str, Any]) -> bool:
    """Whether the object was made by it: its first entry in managedFields is as old as the object."""
    meta = item["metadata"]
    return any(
        each.get("manager") == manager and each.get("time") == meta["creationTimestamp"]
        for each in meta.get("managedFields") or ()
    )


def _remove(client: ApiClient, path: str, manager: str) -> list[str]:
    gone: list[str] = []
    try:
        items = raw_list(client, path)
        ours = [item for item in items if made_by(manager, item)]
    except (ApiException, HTTPError, OSError, LookupError, TypeError, AttributeError):
        return gone
    for item in ours:
        each = f"{path}/{item['metadata']['name']}"
        try:
            raw_delete(client, each)
        except (ApiException, HTTPError, OSError):
            continue
        gone.append(each)
    return gone
