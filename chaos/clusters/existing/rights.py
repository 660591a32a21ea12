"""What the kubeconfig's user may do on a cluster, asked of the API server before it is needed.

Which rights there are stands in manifests/rights/runner.yaml alone, which the cluster's owner applies: what is asked
for here can't be more, or less, than what is given there.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml
from kubernetes.client import ApiClient

from chaos.clusters.way.client import transport_of
from chaos.errors import OrdealError
from chaos.hosts.places import manifests_dir

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
CREATED = 201
RUNNER = ("rights", "runner.yaml")  # below manifests/
NEEDED, FAULTS = "kube-ordeal/needed", "kube-ordeal/faults"  # annotations of its roles
EVERY_RUN, AGENTS = "every run", "agents"
REMEDY = "the cluster's owner gives these rights with `kube-ordeal guard rights` (docs/own-cluster.md)"


@dataclass(frozen=True, slots=True)
class Right:
    """A verb on a resource, or with a slash on a part of it, in one namespace or, where that is "", in all. `group` is
    "" for the core; `name` is one object's, where only that is meant.
    """

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.verb, self.resource, self.name)))


EVERYTHING = Right("*", "*", "*")


@dataclass(frozen=True, slots=True)
class Role:
    """Some rights that are given together. `needed`: for what; `faults`: the kinds of those that can't do without."""

    name: str
    needed: str
    faults: frozenset[str]
    rights: tuple[Right, ...]


@cache
def roles() -> tuple[Role, ...]:
    """All that a run may need, as the file has it."""
    documents = yaml.safe_load_all(manifests_dir().joinpath(*RUNNER).read_text())
    return tuple(_role(each) for each in documents if "rules" in each)


def lacking(client: ApiClient, *needed: str) -> tuple[Right, ...]:
    """Those that are `needed`, by every run where nothing else is said, and that the user has not. Raises HTTPError."""
    wanted = [right for role in roles() if role.needed in (needed or (EVERY_RUN,)) for right in role.rights]
    return _lacking(client, wanted)


def require(client: ApiClient, *needed: str) -> None:
    """Raises OrdealError, with their names, where rights lack that are `needed`. Raises HTTPError."""
    if those := lacking(client, *needed):
        raise OrdealError(
            f"the kubeconfig's user may not {_named(those)}, on the cluster at {client.configuration.host}; {REMEDY}"
        )


def of_fault(fault: str) -> tuple[Right, ...]:
    """Those that the fault of that kind needs."""
    return tuple(dict.fromkeys(right for role in roles() if fault in role.faults for right in role.rights))


def lacking_for(client: ApiClient, fault: str) -> str:
    """What the user may not do that the fault of that kind needs, as a sentence; "" where nothing lacks."""
    those = _lacking(client, of_fault(fault))
    return f"the kubeconfig's user may not {_named(those)}; {REMEDY}" if those else ""


def require_all(client: ApiClient, what: str) -> None:
    """Raises OrdealError where the user may not do everything, which `what` needs."""
    if not _may(client, EVERYTHING):
        raise OrdealError(
            f"{what} need every right there is on the cluster at {client.configuration.host}, and the kubeconfig's "
            "user has not: take one that is bound to cluster-admin"
        )


def _role(document: Any) -> Role:
    metadata = document["metadata"]
    said = metadata["annotations"]
    faults = frozenset(filter(None, (each.strip() for each in said.get(FAULTS, "").split(","))))
    rights = tuple(right for rule in document["rules"] for right in _rights(rule, metadata.get("namespace", "")))
    return Role(metadata["name"], said[NEEDED], faults, rights)


def _rights(rule: Any, namespace: str) -> Iterator[Right]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                for name in rule.get("resourceNames", [""]):
                    yield Right(verb, resource, group, namespace, name)


def _lacking(client: ApiClient, wanted: Collection[Right]) -> tuple[Right, ...]:
    return tuple(right for right in dict.fromkeys(wanted) if not _may(client, right))


def _named(lacking: Collection[Right]) -> str:
    """In words, by namespace."""
    named = []
    for namespace in dict.fromkeys(each.namespace for each in lacking):
        *most, last = [str(each) for each in lacking if each.namespace == namespace]
        listed = f"{', '.join(most)} or {last}" if most else last
        named.append(f"{listed} (in {namespace or 'all namespaces'})")
    return ", nor ".join(named)


def _may(client: ApiClient, right: Right) -> bool:
    """Whether the user may; True where the API server does not tell."""
    resource, _, part = right.resource.partition("/")
    attributes = {
        "verb": right.verb,
        "resource": resource,
        "subresource": part,
        "group": right.group,
        "namespace": right.namespace,
        "name": right.name,
    }
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
    except (ValueError, LookupError, TypeError, AttributeError):
        return True
