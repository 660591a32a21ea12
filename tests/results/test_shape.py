"""A schema's words, one by one, and the results' schema against a validator of others."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from chaos.results.schema import SCHEMA_PATH
from chaos.results.shape import Misfit, Schema, SchemaShape
from tests.report.made import broken, outcome, results

SCHEMA = json.loads(SCHEMA_PATH.read_text())
OBJECT = {"type": "object", "required": ["a"], "additionalProperties": False, "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "fits", "does_not", "at", "how"),
    [
        ({"type": "integer"}, 1.0, 1.5, "", "1.5 is not of type integer"),
        ({"type": ["string", "null"]}, None, 1, "", "1 is not of type string or null"),
        ({"type": "number"}, 1, True, "", "True is not of type number"),
        ({"type": "boolean"}, True, 1, "", "1 is not of type boolean"),
        ({"const": "x"}, "x", "y", "", "'x' was expected"),
        ({"enum": [1, "x"]}, "x", True, "", "True is not one of [1, 'x']"),
        ({"minimum": 0}, 0, -1, "", "-1 is less than 0"),
        ({"minLength": 1}, "x", "", "", "'' is too short"),
        ({"pattern": "^x$"}, "x", "xx", "", "'xx' does not match '^x$'"),
        (OBJECT, {"a": 1}, {}, "", "'a' is a required property"),
        (OBJECT, {"a": 1}, {"a": 1, "b": 2}, "", "'b' is not expected there"),
        (OBJECT, {"a": 1}, {"a": "1"}, "a", "'1' is not of type integer"),
        ({"additionalProperties": {"type": "string"}}, {"a": "b"}, {"a": 1}, "a", "1 is not of type string"),
        ({"items": OBJECT}, [], [{"a": 1}, {"a": None}], "[1].a", "None is not of type integer"),
        ({"items": {"$ref": "#/$defs/x"}, "$defs": {"x": {"enum": [1]}}}, [1], [2], "[0]", "2 is not one of [1]"),
        ({"oneOf": [{"const": 1}, {"minimum": 0}]}, 2, 1, "", "1 fits 2 of 2 shapes, and should fit one"),
    ],
)
def test_each_word_is_kept_to(schema: Schema, fits: object, does_not: object, at: str, how: str) -> None:
    assert SchemaShape(schema).misfit(fits) is None
    assert SchemaShape(schema).misfit(does_not) == Misfit(at, how)


def test_a_word_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="maxItems"):
        SchemaShape({"items": {"properties": {"a": {"maxItems": 1}}}})


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The text of a run's results."""
    made = results(tmp_path_factory.mktemp("results"))
    made.add(outcome())
    made.add(outcome(broken(), control="default-tolerations", passed=True))
    made.begin("test_x", "mass-termination", cluster="kind", profile="smoke")
    return Path(made.path).read_text()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every member of every object and list, as the container and the key."""
    for key, each in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(each, (dict, list)):
            yield from _places(each)


ANYTHING = st.sampled_from(
    [None, True, 0, 1, -1, 1.0, 2.5, "", "held", "2026-01-01T00:00:00Z", [], {}, ["x"], {"x": 1}]
)


@given(st.data())
def test_what_a_file_may_hold_is_judged_as_others_judge_it(content: str, data: st.DataObject) -> None:
    value = json.loads(content)
    assert SchemaShape(SCHEMA).misfit(value) is None
    holder, key = data.draw(st.sampled_from(list(_places(value))))
    how = data.draw(st.sampled_from(["replace", "remove", "add"]))
    if how == "remove":
        del holder[key]
    elif how == "replace" or isinstance(holder, list):
        holder[key] = data.draw(ANYTHING)
    else:
        holder["x"] = data.draw(ANYTHING)
    assert (SchemaShape(SCHEMA).misfit(value) is None) == Draft202012Validator(SCHEMA).is_valid(value)
