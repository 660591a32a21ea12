"""What an API server's answer to an eviction says of the budget that refused it."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from chaos.record.history import History
from chaos.record.records import Blind
from chaos.subjects.drains import drainer
from chaos.subjects.drains.drainer import Drainer, named
from chaos.subjects.drains.records import EvictionAnswered
from chaos.workloads.base import WORKLOAD_LABEL

TWO = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
SAID = "The disruption budget web-1 needs 5 healthy pods and has 5 currently"


def answer(*causes: dict[str, str]) -> str:
    status = {"kind": "Status", "message": "Cannot evict pod", "code": 429, "details": {"causes": causes}}
    return json.dumps(status)


def test_the_budget_is_taken_of_the_cause_that_names_it() -> None:
    other = {"reason": "FieldValueInvalid", "message": "The disruption budget x is none"}
    assert named(answer(other, {"reason": "DisruptionBudget", "message": SAID})) == ("web-1", SAID)


def test_an_answer_without_such_a_cause_names_none() -> None:
    assert named(json.dumps({"message": TWO, "code": 500})) == ("", TWO)
    assert named(answer()) == ("", "Cannot evict pod")
    assert named("<html>no Status at all</html>") == ("", "<html>no Status at all</html>")


def test_a_pod_that_is_gone_was_not_refused() -> None:
    codes = (201, 404, 429, 500, 504)
    said = {code: EvictionAnswered(0, "ns", "p", "u", "n", "w", code, "b", "why") for code in codes}
    assert [code for code, each in said.items() if each.refused] == [429, 500]
    assert [said[code].told() for code in (201, 429)] == ["evicted", "refused with 429 by the budget b: why"]


@pytest.mark.parametrize(
    ("code", "message", "is_answer"),
    [
        (404, "pods not found", True),
        (429, SAID, True),
        (500, TWO, True),
        (500, "etcdserver: request timed out", False),
        (504, "the server was unable to return a response in time", False),
    ],
)
def test_only_what_a_budget_answers_is_a_refusal(
    code: int, message: str, is_answer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        error = ApiException(status=code)
        error.body = json.dumps({"message": message, "code": code})
        raise error

    metadata = SimpleNamespace(namespace="ns", name="p", uid="u", labels={WORKLOAD_LABEL: "web"})
    monkeypatch.setattr(drainer, "pods_on", lambda *_: [SimpleNamespace(metadata=metadata)])
    monkeypatch.setattr(drainer, "refusals", lambda _: 0)
    monkeypatch.setattr(drainer, "evict", refuses)
    history = History()
    cluster: Any = SimpleNamespace()
    with Drainer(history, cluster, "n"):
        pass  # it asks at once
    assert [each.code for each in history.of(EvictionAnswered)] == ([code] if is_answer else [])
    assert bool(history.of(Blind)) is not is_answer
