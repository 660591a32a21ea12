"""APIs that can't be listed, by an API server that is a fake: what is planned, has landed, lasts, is undone."""

import json
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.clusters.base import ClusterRef
from chaos.errors import OrdealError
from chaos.subjects.garbage import faults
from chaos.subjects.garbage.faults import AGGREGATED, CRD, GROUP, PLURAL, BreakConversion, LoseAggregatedApi
from tests.harm.journalled import through_the_journal

RELICS, AGGREGATE = f"/apis/{GROUP}/v2/{PLURAL}", f"/apis/{AGGREGATED}/v1"
SAYS = f"conversion webhook for {GROUP}/v1, Kind=Relic failed"


def refused(status: int, message: str = "") -> ApiException:
    error = ApiException(status=status)
    error.body = json.dumps({"message": message})
    return error


class Bare:
    """A cluster with the two APIs, or none, and a controller manager."""

    ref = ClusterRef("fake", "fake", "")

    def __init__(self) -> None:
        self.conversion, self.api_service = "", False  # no such resource
        self.answers: dict[str, ApiException] = {}
        self.running, self.leads = True, "first"

    def api(self) -> Any:
        return nullcontext()

    def controller_manager_running(self) -> bool:
        return self.running

    def start_controller_manager(self) -> None:
        self.running = True

    def get(self, _: object, path: str) -> bytes:
        if path in self.answers:
            raise self.answers[path]
        return b"{}"

    def merge(self, _: object, path: str, change: Any) -> None:
        assert path.endswith(CRD)
        self.conversion = change["spec"]["conversion"]["strategy"]

    def read_crd(self, name: str) -> Any:
        if not self.conversion:
            raise refused(404)
        return SimpleNamespace(spec=SimpleNamespace(conversion=SimpleNamespace(strategy=self.conversion)))

    def delete_crd(self, name: str) -> None:
        assert self.conversion == "None", "its objects could not be deleted"
        self.conversion = ""

    def read_service(self, name: str) -> None:
        if not self.api_service:
            raise refused(404)

    def delete_service(self, name: str) -> None:
        self.api_service = False


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Bare()
    definitions = SimpleNamespace(
        read_custom_resource_definition=made.read_crd, delete_custom_resource_definition=made.delete_crd
    )
    services = SimpleNamespace(read_api_service=made.read_service, delete_api_service=made.delete_service)
    monkeypatch.setattr(k8s, "ApiextensionsV1Api", lambda _: definitions)
    monkeypatch.setattr(k8s, "ApiregistrationV1Api", lambda _: services)
    monkeypatch.setattr(faults, "raw_get", made.get)
    monkeypatch.setattr(faults, "raw_merge", made.merge)
    monkeypatch.setattr(faults, "leader", lambda _: made.leads)
    return made


@pytest.mark.parametrize("harm", [BreakConversion(), LoseAggregatedApi()], ids=lambda harm: harm.kind)
def test_what_is_there_already_or_does_not_run_is_told(bare: Any, harm: Any) -> None:
    assert harm.plan(bare).leader == "first"
    bare.running = False
    with pytest.raises(OrdealError, match="the controller manager of fake does not run"):
        harm.plan(bare)
    bare.conversion, bare.api_service = "None", True
    with pytest.raises(OrdealError, match=r"there is an? .*kube-ordeal on fake.*`kube-ordeal undo`"):
        harm.plan(bare)


@pytest.mark.parametrize("status", [429, 500])
def test_a_broken_conversion_lands_when_lists_fail_by_it_and_another_leads(bare: Any, status: int) -> None:
    harm = BreakConversion()
    saved = through_the_journal(harm.plan(bare))
    bare.leads = "second"
    for answers in ({}, {RELICS: refused(status, "etcd is away")}, {RELICS: refused(404, SAYS)}):
        bare.answers = answers
        assert not harm.landed(bare, saved)
        assert not harm.lasts(bare, saved)
    bare.answers = {RELICS: refused(status, SAYS)}
    assert harm.landed(bare, saved)
    for bare.leads in ("", "first"):
        assert not harm.landed(bare, saved)
        assert harm.lasts(bare, saved), "whoever leads"


def test_a_broken_conversion_is_mended_before_its_objects_are_deleted(bare: Any) -> None:
    saved = through_the_journal(BreakConversion().plan(bare))
    assert BreakConversion.undone(bare, saved), "it was planned and never done"
    bare.conversion, bare.running = "Webhook", False
    assert not BreakConversion.undone(bare, saved)
    for _ in range(2):
        BreakConversion.undo(bare, saved)
    assert BreakConversion.undone(bare, saved)


def test_an_aggregated_api_is_lost_when_it_is_unavailable_and_another_leads(bare: Any) -> None:
    harm = LoseAggregatedApi()
    saved = through_the_journal(harm.plan(bare))
    bare.leads = "second"
    assert not harm.landed(bare, saved)
    bare.answers = {AGGREGATE: refused(404)}
    assert not harm.lasts(bare, saved)
    bare.answers = {AGGREGATE: refused(503)}
    assert harm.landed(bare, saved)
    bare.leads = "first"
    assert not harm.landed(bare, saved)


def test_an_aggregated_api_that_was_lost_is_deleted(bare: Any) -> None:
    saved = through_the_journal(LoseAggregatedApi().plan(bare))
    assert LoseAggregatedApi.undone(bare, saved), "it was planned and never done"
    bare.api_service, bare.running = True, False
    assert not LoseAggregatedApi.undone(bare, saved)
    for _ in range(2):
        LoseAggregatedApi.undo(bare, saved)
    assert LoseAggregatedApi.undone(bare, saved)
