"""Whether JSON has the shape that a schema asks for.

It knows the words of JSON Schema (draft 2020-12) that results.schema.json uses, and refuses a schema with another one.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]
_SAYS = frozenset({"$schema", "$id", "$defs", "title", "description"})  # asks for nothing
_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: (
        (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())
    ),
}


@dataclass(frozen=True, slots=True)
class Misfit:
    """Where a value is not as it should be, such as `incidents[0].verdict` ("" at the top), and how."""

    at: str
    how: str


class SchemaShape:
    """A schema, ready to judge by."""

    def __init__(self, schema: Schema) -> None:
        """Raises ValueError for a schema with words that are not known here."""
        self._schema, self._parts = schema, {f"#/$defs/{name}": each for name, each in schema.get("$defs", {}).items()}
        for each in (schema, *self._parts.values()):
            _check_words(each)

    def misfit(self, value: object) -> Misfit | None:
        """The first thing that is not as it should be; None where all is."""
        return next(self._misfits(value, self._schema, ""), None)

    def _misfits(self, value: Any, schema: Schema, at: str) -> Iterator[Misfit]:
        for word, asked in schema.items():
            if word == "$ref":
                yield from self._misfits(value, self._parts[asked], at)
            elif word == "oneOf":
                fitting = sum(next(self._misfits(value, each, at), None) is None for each in asked)
                if fitting != 1:
                    yield Misfit(at, f"{value!r} fits {fitting} of {len(asked)} shapes, and should fit one")
            elif word in _ASKS and (how := _ASKS[word](value, asked)):
                yield Misfit(at, how)
        if isinstance(value, list) and "items" in schema:
            for number, each in enumerate(value):
                yield from self._misfits(each, schema["items"], f"{at}[{number}]")
        if isinstance(value, dict):
            yield from self._inside(value, schema, at)

    def _inside(self, value: Mapping[str, Any], schema: Schema, at: str) -> Iterator[Misfit]:
        named, more = schema.get("properties", {}), schema.get("additionalProperties", True)
        for name, each in value.items():
            if name in named:
                yield from self._misfits(each, named[name], f"{at}.{name}".lstrip("."))
            elif more is False:
                yield Misfit(at, f"{name!r} is not expected there")
            elif more is not True:
                yield from self._misfits(each, more, f"{at}.{name}".lstrip("."))


def _of_type(value: Any, asked: str | list[str]) -> str:
    wanted = [asked] if isinstance(asked, str) else asked
    return "" if any(_TYPES[each](value) for each in wanted) else f"{value!r} is not of type {' or '.join(wanted)}"


def _one_of(value: Any, asked: list[Any]) -> str:
    return "" if any(_same(value, each) for each in asked) else f"{value!r} is not one of {asked}"


def _has(value: Any, asked: list[str]) -> str:
    lacks = [name for name in asked if name not in value] if isinstance(value, dict) else []
    return f"{lacks[0]!r} is a required property" if lacks else ""


def _at_least(value: Any, asked: float) -> str:
    return f"{value!r} is less than {asked}" if _TYPES["number"](value) and value < asked else ""


def _long_enough(value: Any, asked: int) -> str:
    return f"{value!r} is too short" if isinstance(value, str) and len(value) < asked else ""


def _like(value: Any, asked: str) -> str:
    return f"{value!r} does not match {asked!r}" if isinstance(value, str) and not re.search(asked, value) else ""


def _same(one: object, other: object) -> bool:
    """Equal as JSON is: true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


# How a value goes against one word of its schema; "" where it does not.
_ASKS: Mapping[str, Callable[[Any, Any], str]] = {
    "type": _of_type,
    "const": lambda value, asked: "" if _same(value, asked) else f"{asked!r} was expected",
    "enum": _one_of,
    "required": _has,
    "minimum": _at_least,
    "minLength": _long_enough,
    "pattern": _like,
}
_HOLDS = ("$ref", "oneOf", "items", "properties", "additionalProperties")


def _check_words(schema: Schema) -> None:
    unknown = schema.keys() - {*_SAYS, *_ASKS, *_HOLDS}
    if unknown:
        raise ValueError(f"the schema has words that are not known here: {', '.join(sorted(unknown))}")
    inner: Sequence[Any] = [
        *schema.get("oneOf", ()),
        *schema.get("properties", {}).values(),
        *(schema[each] for each in ("items", "additionalProperties") if isinstance(schema.get(each), dict)),
    ]
    for each in inner:
        _check_words(each)
