"""The rights of manifests/rights on a real API server: applied by an owner, used by a run, taken away one by one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client as k8s
from kubernetes.client import ApiClient
from kubernetes.utils import create_from_dict

from chaos.basics.waiting import eventually
from chaos.clusters.existing import rights
from chaos.clusters.existing.rights import Right, roles
from chaos.clusters.way.client import api_client
from chaos.hosts.places import manifests_dir

SETTLES_WITHIN_S = 60.0  # the controller manager puts the roles together
ACCOUNT = ("runner", "kube-ordeal")


def documents(file: str = "runner.yaml") -> list[Any]:
    return list(yaml.safe_load_all((manifests_dir() / "rights" / file).read_text()))


def apply(owner: Callable[[], ApiClient], made: Sequence[Any]) -> None:
    create_one: Callable[[ApiClient, object], object] = create_from_dict
    with owner() as client:
        for each in made:
            create_one(client, each)


def kubeconfig_of_runner(admin: Path, folder: Path) -> Path:
    """A kubeconfig with a token of the account, and nothing else of the administrator's."""
    config = yaml.safe_load(admin.read_text())
    with api_client(admin) as client:
        asked: Any = {"spec": {"expirationSeconds": 4 * 3600}}
        made: Any = k8s.CoreV1Api(client).create_namespaced_service_account_token(*ACCOUNT, asked)
    (cluster,) = config["clusters"]
    config["users"] = [{"name": "runner", "user": {"token": made.status.token}}]
    config["contexts"] = [{"name": "runner", "context": {"cluster": cluster["name"], "user": "runner"}}]
    config["current-context"] = "runner"
    runner = folder / "kubeconfig-runner"
    runner.write_text(yaml.safe_dump(config))
    wait_until(runner, *(right for role in roles() for right in role.rights))
    return runner


def wait_until(runner: Path, *may: Right, not_: Sequence[Right] = ()) -> None:
    """Wait until the API server says that the runner may do all of this, and nothing of that."""

    def settled() -> bool:
        with api_client(runner) as client:
            return all(rights._may(client, each) for each in may) and not any(rights._may(client, e) for e in not_)

    eventually(settled, within_s=SETTLES_WITHIN_S, what="the rights to be as they are written", every_s=0.05)


@contextmanager
def without(owner: Callable[[], ApiClient], runner: Path, verb: str, group: str, resource: str) -> Iterator[None]:
    """Take one verb on one resource away from every role that has it, for the block's length."""
    those = [
        right
        for role in roles()
        for right in role.rights
        if (right.verb, right.group, right.resource) == (verb, group, resource)
    ]
    changed = [(each, _less(each, verb, group, resource)) for each in documents() if "rules" in each]
    changed = [(before, after) for before, after in changed if before != after]
    assert changed
    _write(owner, [after for _, after in changed])
    try:
        wait_until(runner, not_=those)
        yield
    finally:
        _write(owner, [before for before, _ in changed])
        wait_until(runner, *those)


def _less(role: Mapping[str, Any], verb: str, group: str, resource: str) -> dict[str, Any]:
    rules: list[dict[str, Any]] = []
    for rule in role["rules"]:
        if group not in rule["apiGroups"] or resource not in rule["resources"] or verb not in rule["verbs"]:
            rules.append(rule)
            continue
        others = [each for each in rule["resources"] if each != resource]
        rules += [{**rule, "resources": others}] if others else []
        verbs = [each for each in rule["verbs"] if each != verb]
        rules += [{**rule, "resources": [resource], "verbs": verbs}] if verbs else []
    return {**role, "rules": rules}


def _write(owner: Callable[[], ApiClient], those: Sequence[Any]) -> None:
    with owner() as client:
        api: Any = k8s.RbacAuthorizationV1Api(client)
        for each in those:
            name, namespace = each["metadata"]["name"], each["metadata"].get("namespace")
            if namespace:
                api.replace_namespaced_role(name, namespace, each)
            else:
                api.replace_cluster_role(name, each)
