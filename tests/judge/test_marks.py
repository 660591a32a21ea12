"""The promises of judges are registered, and marked as is said of them."""

from chaos.judge.base import made_by, promises
from tests.judge.marks import JUDGES, wrongly_marked


def test_each_promise_of_a_judge_is_registered_and_marked() -> None:
    assert not list(wrongly_marked("judge"))
    assert {name for name in promises() if made_by(name).__module__.startswith("chaos.judge.")} == JUDGES
