"""What is no object of the API is a failed request in one sentence, whoever asked: nobody takes it apart."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos.clusters.existing.rights import require_all
from chaos.clusters.way.answers import OddAnswerError, objects
from chaos.clusters.way.client import Access, raw_list, read_csi_drivers, read_nodes
from chaos.conformance import leftovers
from chaos.conformance.runner import has_default_class
from chaos.errors import OrdealError
from tests.fake_apiserver import FakeApiServer

NODE = {"metadata": {"name": "a"}, "spec": {}, "status": {}}
ODD: dict[str, Any] = {
    "a string": "surprise",
    "null": None,
    "a list": ["surprise"],
    "a number": 7,
    "items null": {"metadata": {}, "items": None},
    "items a string": {"metadata": {}, "items": "surprise"},
    "items of strings": {"metadata": {}, "items": ["surprise"]},
    "items of null": {"metadata": {}, "items": [None]},
    "metadata null": {"metadata": {}, "items": [{**NODE, "metadata": None}]},
    "a name null": {"metadata": {}, "items": [{**NODE, "metadata": {"name": None}}]},
}
HOLLOW: dict[str, Any] = {
    "status null": {"metadata": {}, "items": [{**NODE, "status": None}]},
    "status a string": {"metadata": {}, "items": [{**NODE, "status": "surprise"}]},
    "labels a list": {"metadata": {}, "items": [{**NODE, "metadata": {"name": "a", "labels": ["surprise"]}}]},
    "conditions of strings": {"metadata": {}, "items": [{**NODE, "status": {"conditions": ["surprise"]}}]},
}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[FakeApiServer]:
    with FakeApiServer(tmp_path) as server:
        yield server


@pytest.mark.parametrize("odd", (ODD | HOLLOW).values(), ids=ODD | HOLLOW)
def test_nodes_that_are_none_are_one_sentence(api: FakeApiServer, odd: object) -> None:
    api.spoils = lambda said: odd
    with api.client() as client, pytest.raises(OrdealError, match=api.url) as told:
        read_nodes(client)
    assert "\n" not in str(told.value)
    assert Access(api.kubeconfig).identity().uid == ""


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_a_list_that_is_none_is_one_sentence_for_who_reads_json(api: FakeApiServer, odd: object) -> None:
    api.spoils = lambda said: odd
    with api.client() as client:
        with pytest.raises(OddAnswerError, match=api.url) as told:
            raw_list(client, "/api/v1/nodes")
        with pytest.raises(OddAnswerError):
            read_csi_drivers(client)
        require_all(client, "this")  # what the server does not tell is not refused
    assert "\n" not in str(told.value)
    assert has_default_class(api.kubeconfig)
    assert leftovers.remove(api.kubeconfig, "", "somebody") == ()


def test_what_is_no_json_is_one_sentence() -> None:
    with pytest.raises(OddAnswerError, match="what is no JSON"):
        objects(b"<html></html>", "http://here")


def test_lists_that_are_some_are_taken(api: FakeApiServer) -> None:
    api.put_node("a", control_plane=True)
    with api.client() as client:
        assert [node.name for node in read_nodes(client)] == ["a"]
        assert [item["metadata"]["name"] for item in raw_list(client, "/api/v1/nodes")] == ["a"]
        assert raw_list(client, "/api/v1/pods") == []
