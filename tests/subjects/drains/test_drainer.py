"""What an API server's answer to an eviction says of the budget that refused it."""

import json

from chaos.subjects.drains.drainer import named
from chaos.subjects.drains.records import EvictionAnswered

SAID = "The disruption budget web-1 needs 5 healthy pods and has 5 currently"


def answer(*causes: dict[str, str]) -> str:
    status = {"kind": "Status", "message": "Cannot evict pod", "code": 429, "details": {"causes": causes}}
    return json.dumps(status)


def test_the_budget_is_taken_of_the_cause_that_names_it() -> None:
    other = {"reason": "FieldValueInvalid", "message": "The disruption budget x is none"}
    assert named(answer(other, {"reason": "DisruptionBudget", "message": SAID})) == ("web-1", SAID)


def test_an_answer_without_such_a_cause_names_none() -> None:
    message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
    assert named(json.dumps({"message": message, "code": 500})) == ("", message)
    assert named(answer()) == ("", "Cannot evict pod")
    assert named("<html>no Status at all</html>") == ("", "<html>no Status at all</html>")


def test_a_pod_that_is_gone_was_not_refused() -> None:
    said = {code: EvictionAnswered(0, "ns", "p", "u", "n", "w", code, "b", "why") for code in (201, 404, 429, 500)}
    assert [code for code, each in said.items() if each.refused] == [429, 500]
    assert [said[code].told() for code in (201, 429)] == ["evicted", "refused with 429 by the budget b: why"]
