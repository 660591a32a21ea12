"""Files that others may have written: how much of one is read, and what can be understood in two ways is not taken.

Whoever reads one gets a ValueError with the end of a sentence ("it is larger than 64 KiB"), and says where it lies. No
other error comes of what is in a file.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import yaml

KIB, MIB = 1024, 1024**2
DEPTH = 100  # nothing that is written here nests deeper than ten
LARGEST = 2**64 - 1  # whole numbers; above it one reader takes it exactly, another rounds


@dataclass(frozen=True, slots=True)
class Limit:
    """How large a kind of file may be. `values`: of mappings, lists and what is in them, which take more memory than
    the bytes that say them.
    """

    size_bytes: int
    values: int


RESULTS = Limit(64 * MIB, 4_000_000)  # a run of all replays and all specs has a tenth
MANIFEST = Limit(32 * MIB, 1_000_000)  # of 100,000 files
LIST = Limit(MIB, 50_000)  # what people write by hand
PRODUCT = Limit(64 * KIB, 1_000)
RECORD = Limit(16 * MIB, 500_000)  # what is kept here for a later run; a line of a journal
CREDENTIAL = Limit(MIB, 0)  # a certificate, a key, a token: what a kubeconfig names
HISTORY = Limit(256 * MIB, 0)  # two thousand runs of everything; its reader counts no values
LISTING = Limit(64 * MIB, 2_000_000)  # seven thousand specs
LINE_BYTES = 16 * MIB  # of a recording; the longest one is a log that was seen


def bounded(file: BinaryIO, limit: Limit) -> bytes:
    """All of an open file. Raises ValueError where it is too large, OSError."""
    data = file.read(limit.size_bytes + 1)
    if len(data) > limit.size_bytes:
        raise ValueError(f"it is larger than {_size(limit.size_bytes)}")
    return data


def lines(file: BinaryIO, most_bytes: int = LINE_BYTES) -> Iterator[bytes]:
    """The lines of an open file, each with its end; only the last one may have none.

    Raises ValueError where one is too long, OSError.
    """
    while line := file.readline(most_bytes + 1):
        if len(line) > most_bytes:
            raise ValueError(f"it is longer than {_size(most_bytes)}")
        yield line


def json_file(path: Path, limit: Limit = RECORD) -> Any:
    """What a JSON file says, as `json_of`. Raises ValueError, OSError."""
    with path.open("rb") as file:
        return json_of(bounded(file, limit), limit)


def text_file(path: Path, limit: Limit = LIST) -> str:
    """A text. Raises ValueError where it is no UTF-8, OSError."""
    with path.open("rb") as file:
        return bounded(file, limit).decode()


def json_of(data: bytes, limit: Limit = RECORD) -> Any:
    """What JSON says: texts, numbers, lists, mappings. Raises ValueError for what is none, or is ambiguous.

    That is: a name twice in one object, NaN and infinity, numbers that readers round, half of a surrogate pair, another
    encoding than UTF-8, anything behind the end.
    """
    if len(data) > limit.size_bytes:
        raise ValueError(f"it is larger than {_size(limit.size_bytes)}")
    if sum(map(data.count, (b",", b"[", b"{"))) > limit.values:  # before anything is made of them
        raise ValueError(f"it holds more than {limit.values} values")
    try:
        held = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError as error:
        raise too_deep() from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"it is no JSON, it may be cut off ({error})") from error
    check_values(held)
    return held


def json_text(held: Any) -> str:
    """JSON that `json_of` takes again: half of a surrogate pair becomes a text that names it."""
    text = json.dumps(held, indent=2, allow_nan=False)
    return _ESCAPED.sub(_named, text) if "\\ud" in text else text


_ESCAPED = re.compile(r"\\(?:(ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})|(ud[89a-f][0-9a-f]{2})|.)")


def _named(escaped: re.Match[str]) -> str:
    return f"\\{escaped[0]}" if escaped[2] else escaped[0]


def yaml_of(data: bytes, limit: Limit = LIST) -> Any:
    """What YAML says: texts, numbers, dates, lists, mappings; None where nothing. Raises ValueError for what is none.

    So it does for a key twice in one mapping, more than one document, tags, and aliases, by which a few lines grow to
    more than a machine holds.
    """
    if len(data) > limit.size_bytes:
        raise ValueError(f"it is larger than {_size(limit.size_bytes)}")
    try:
        text = data.decode()
        _check_events(text, limit.values)
        held = yaml.load(text, OnceLoader)  # noqa: S506  (a safe loader)
    except yaml.YAMLError as error:
        raise no_yaml(error) from error
    except (ArithmeticError, RecursionError) as error:
        raise ValueError(f"it holds a value that can't be read ({error})") from error
    check_values(held)
    return held


_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML was built with libyaml


class OnceLoader(_Safe):  # type: ignore[misc]
    """A safe loader of YAML that takes no key twice in one mapping. A tree of a thousand levels overflows its stack."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        """Raises yaml.YAMLError."""
        self.check_once(node)
        return super().construct_mapping(node, deep)

    def check_once(self, node: yaml.MappingNode) -> None:
        """Raises yaml.YAMLError."""
        names: set[str] = set()
        for key, _ in node.value:
            name = self.key(key)
            if name in names:
                raise yaml.constructor.ConstructorError(None, None, f"the key {name!r} stands twice", key.start_mark)
            names.add(name)

    def key(self, node: yaml.Node) -> str:
        """A key as a text. Raises yaml.YAMLError."""
        if not isinstance(node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key is no text", node.start_mark)
        return str(self.construct_object(node)) if node.tag != MERGE else str(node.value)


MERGE = "tag:yaml.org,2002:merge"  # the tag of the key `<<`


def _check_events(text: str, values: int) -> None:
    """Look through YAML before anything is made of it. Raises ValueError, yaml.YAMLError."""
    depth = documents = 0
    for seen, event in enumerate(yaml.parse(text, _Safe), start=1):
        line = event.start_mark.line + 1 if event.start_mark is not None else 0
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if depth > DEPTH:
            raise too_deep()
        if seen > values:
            raise ValueError(f"it holds more than {values} values")
        if documents > 1:
            raise ValueError(f"a second document begins at line {line} (---): there may be one")
        if isinstance(event, yaml.AliasEvent) or (isinstance(event, yaml.ScalarEvent) and event.value == "<<"):
            raise ValueError(f"line {line} takes something from another place (* or <<): write it out")
        if getattr(event, "tag", None):
            raise ValueError(f"line {line} has a tag (!): leave it out")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names: set[str] = set()
        twice = next(name for name, _ in pairs if name in names or names.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"{twice[:80]!r} stands twice in one object, so it says two things")
    return made


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number in JSON")


def check_values(held: Any) -> None:
    """Raise ValueError for what is nested too deeply, and for texts and numbers that not every reader takes alike."""
    level = [held]
    depth = 0
    while level:
        depth += 1
        if depth > DEPTH and any(isinstance(each, dict | list) for each in level):
            raise too_deep()
        inner: list[Any] = []
        for each in level:
            if isinstance(each, str):
                _check_text(each)
            elif isinstance(each, dict):
                for key in each:
                    if isinstance(key, str):
                        _check_text(key)
                inner += each.values()
            elif isinstance(each, list):
                inner += each
            elif isinstance(each, float) and not isfinite(each):
                raise ValueError("it holds a number that is infinite, or none")
            elif isinstance(each, int) and abs(each) > LARGEST:
                raise ValueError("it holds a whole number of more than 64 bits")
        level = inner


def _check_text(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError("it holds half of a character (a surrogate without its other half)") from error


def no_yaml(error: yaml.YAMLError) -> ValueError:
    """What a parser said, as the end of a sentence. libyaml 0.2.6 has a bound of its own for what is nested."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem == "exceeded maximum nesting depth":
        return too_deep()
    return ValueError(f"it is no YAML: {' '.join(str(error).split())[:300]}")


def too_deep() -> ValueError:
    """In place of what is nested too deeply, as the end of a sentence."""
    return ValueError("it is nested too deeply")


def _size(size_bytes: int) -> str:
    return f"{size_bytes // MIB} MiB" if size_bytes >= MIB else f"{size_bytes // KIB} KiB"
