"""The rights that an owner gives: no more than the code asks the API server for, no less, and each one told where it
lacks.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from chaos.clusters.existing import rights
from chaos.clusters.existing.rights import AGENTS, EVERY_RUN, FAULTS, RUNNER, Right, roles
from chaos.errors import OrdealError
from chaos.harm import load_all
from chaos.harm.base import registered
from chaos.hosts.places import manifests_dir
from chaos.record import objects
from tests.fake_apiserver import FakeApiServer

CHAOS = Path(rights.__file__).parents[2]
# What talks to the API of clusters that are made here alone, and upstream's specs, which need every right.
NOT_THERE = re.compile(
    r"campaign/|clusters/(kind|simulated)/|conformance/|subjects/(aged|drains|garbage|upgrade|watch_cache|webhooks)/"
    r"|subjects/volumes/(driver|pool)\.py"
    r"|harm/control_plane\.py|record/informer\.py"
)
VERBS = {"read": "get", "replace": "update", "delete_collection": "deletecollection"}
KINDS = {
    "node": "nodes", "pod": "pods", "event": "events", "namespace": "namespaces", "service": "services",
    "service_account": "serviceaccounts", "config_map": "configmaps", "secret": "secrets", "lease": "leases",
    "persistent_volume": "persistentvolumes", "persistent_volume_claim": "persistentvolumeclaims",
    "deployment": "deployments", "stateful_set": "statefulsets", "daemon_set": "daemonsets",
    "storage_class": "storageclasses", "volume_attachment": "volumeattachments", "csi_driver": "csidrivers",
    "job": "jobs", "pod_disruption_budget": "poddisruptionbudgets", "endpoint_slice": "endpointslices",
}  # fmt: skip
METHOD = re.compile(
    rf"\b(create|read|list|patch|replace|delete|delete_collection)_(?:namespaced_)?({'|'.join(KINDS)})"
    r"(?:_(status|scale|log|eviction))?(?:_for_all_namespaces)?\b"
)
# Nothing of the generated client's is called for these; each with the file that asks.
BY_PATH = {
    ("watch", "nodes"), ("watch", "pods"), ("watch", "events"),  # chaos/record/stream.py
    ("get", "nodes/proxy"),  # chaos/record/evidence.py, chaos/harm/thresholds.py, chaos/subjects/pleg/sampler.py
    ("get", "pods/exec"), ("create", "pods/exec"),  # chaos/clusters/way/podexec.py
    ("get", "configmaps"),  # chaos/run/guard.py
    ("list", "namespaces"),  # chaos/record/objects.py
    *(("list", each) for each in objects.RESOURCES),
}  # fmt: skip
OWNERS = {("patch", "configmaps")}  # `kube-ordeal guard init` and `halt`
# The drain of an upgrade has one, and needs a cluster of its own.
NOT_ON_EXISTING = {("create", "poddisruptionbudgets")}


def asked_for() -> Iterator[tuple[str, str]]:
    """Verb and resource of all that is asked of an existing cluster's API."""
    for path in CHAOS.rglob("*.py"):
        if NOT_THERE.search(str(path.relative_to(CHAOS))):
            continue
        for verb, kind, part in METHOD.findall(path.read_text()):
            yield VERBS.get(verb, verb), KINDS[kind] + (f"/{part}" if part else "")
    for path in manifests_dir().glob("*.yaml"):
        for kind in re.findall(r"^kind: (\w+)$", path.read_text(), re.MULTILINE):
            yield "create", f"{kind.lower()}s"
    yield from BY_PATH


def documents() -> list[Any]:
    return list(yaml.safe_load_all(manifests_dir().joinpath(*RUNNER).read_text()))


def test_what_is_given_is_what_the_code_asks_for() -> None:
    given = {(each.verb, each.resource) for role in roles() for each in role.rights}
    assert given == set(asked_for()) - OWNERS - NOT_ON_EXISTING


def test_nobody_gets_secrets_a_wildcard_or_a_way_to_more_rights() -> None:
    for each in (right for role in roles() for right in role.rights):
        assert not each.resource.startswith("secrets")
        assert not {each.verb, each.resource, each.group} & {"*", "escalate", "bind", "impersonate"}
        assert each.group not in {"rbac.authorization.k8s.io", "certificates.k8s.io", "admissionregistration.k8s.io"}
        assert each.resource not in {"serviceaccounts/token", "pods/ephemeralcontainers"}


def test_every_role_reaches_the_one_account_and_no_other() -> None:
    account = {"kind": "ServiceAccount", "name": "runner", "namespace": "kube-ordeal"}
    made = [each for each in documents() if each["kind"].endswith("Role")]
    bound = [each for each in documents() if each["kind"].endswith("RoleBinding")]
    assert all(each["subjects"] == [account] for each in bound)
    of = {(each["roleRef"]["kind"], each["roleRef"]["name"], each["metadata"].get("namespace")) for each in bound}
    (all_of_them,) = [each for each in made if "aggregationRule" in each]
    (selector,) = all_of_them["aggregationRule"]["clusterRoleSelectors"]
    for each in made:
        labels = each["metadata"].get("labels", {})
        if each is all_of_them or each["kind"] == "Role":
            assert (each["kind"], each["metadata"]["name"], each["metadata"].get("namespace")) in of
        else:
            assert selector["matchLabels"].items() <= labels.items()


def test_faults_that_need_more_than_every_run_are_faults_that_there_are() -> None:
    load_all()
    named = {fault for role in roles() for fault in role.faults}
    assert named <= set(registered())
    assert named
    assert all(role.faults for role in roles() if role.needed == "faults")
    assert FAULTS in manifests_dir().joinpath(*RUNNER).read_text()


# --- told


CLIENT: Any = SimpleNamespace(configuration=SimpleNamespace(host="https://theirs"))


def without(monkeypatch: pytest.MonkeyPatch, *lacking: Right) -> None:
    monkeypatch.setattr(rights, "_may", lambda _, right: right not in lacking)


@pytest.mark.parametrize("needed", [EVERY_RUN, AGENTS])
def test_each_right_is_told_where_it_lacks(needed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch)
    rights.require(CLIENT, EVERY_RUN, AGENTS)
    for right in [each for role in roles() if role.needed == needed for each in role.rights]:
        without(monkeypatch, right)
        where = right.namespace or "all namespaces"
        with pytest.raises(OrdealError) as told:
            rights.require(CLIENT, EVERY_RUN, AGENTS)
        assert str(told.value) == (
            f"the kubeconfig's user may not {right} (in {where}), on the cluster at https://theirs; {rights.REMEDY}"
        )


def test_what_agents_need_is_asked_for_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, Right("create", "daemonsets", "apps"))
    rights.require(CLIENT, EVERY_RUN)
    with pytest.raises(OrdealError, match=r"may not create daemonsets \(in all namespaces\), on the cluster at"):
        rights.require(CLIENT, EVERY_RUN, AGENTS)


def test_what_a_fault_needs_is_told_before_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    for fault, right in [(each, right) for role in roles() for each in role.faults for right in role.rights]:
        without(monkeypatch)
        assert rights.lacking_for(CLIENT, fault) == ""
        without(monkeypatch, right)
        where = right.namespace or "all namespaces"
        assert f"the kubeconfig's user may not {right} (in {where}); " in rights.lacking_for(CLIENT, fault)


def test_rights_of_several_namespaces_are_one_sentence(tmp_path: Path) -> None:
    """Here, and below, an API server is asked."""
    with FakeApiServer(tmp_path) as api, api.client() as client:
        rights.require(client, EVERY_RUN, AGENTS)
        api.forbidden = {("list", "nodes"), ("watch", "pods"), ("get", "configmaps"), ("create", "leases")}
        with pytest.raises(OrdealError) as told:
            rights.require(client, EVERY_RUN)
    assert str(told.value).startswith(
        "the kubeconfig's user may not list nodes or watch pods (in all namespaces), nor create leases or get "
        "configmaps kube-ordeal-guard (in kube-system), on the cluster at"
    )


def test_only_what_a_fault_needs_besides_is_asked_for(tmp_path: Path) -> None:
    with FakeApiServer(tmp_path) as api, api.client() as client:
        api.forbidden = {("get", "nodes/proxy")}
        assert rights.lacking_for(client, "stall-runtime") == ""
        assert "may not get nodes/proxy (in all namespaces)" in rights.lacking_for(client, "set-kubelet-config")


def test_what_needs_every_right_is_told_where_one_lacks(tmp_path: Path) -> None:
    with FakeApiServer(tmp_path) as api, api.client() as client:
        rights.require_all(client, "upstream's specs")
        api.forbidden = {("*", "*")}
        with pytest.raises(OrdealError, match=r"^upstream's specs need every right there is on the cluster at http"):
            rights.require_all(client, "upstream's specs")
