"""What each test of a judge relies on."""

from collections.abc import Iterator
from typing import Any

import pytest

from chaos.judge import base
from chaos.judge.base import CRASHED, Finding


def finding_of_no_crash(*args: Any, **fields: Any) -> Finding:
    """A finding; AssertionError where it says that the judge crashed."""
    made = Finding(*args, **fields)
    assert made.reason != CRASHED, made.sentence
    return made


@pytest.fixture(autouse=True, scope="module")
def no_judge_crashes() -> Iterator[None]:
    """A judge that crashes finds unknown, which a test may expect for a better reason."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "Finding", finding_of_no_crash)
        yield
