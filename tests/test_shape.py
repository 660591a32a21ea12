"""The shape of the house (docs/design.md): short files, few beside the rooms, tests in rooms of the same names.

One name is one thing. The order of rooms has import-linter.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import pytest

TESTS = Path(__file__).resolve().parent
CHAOS = TESTS.parent / "chaos"
LONGEST_LINES = 450
BESIDE_THE_ROOMS = 6
OTHER_TESTS = {"bench", "fuzz", "integration", "saboteurs"}  # rooms of their own: tests/README.md


def too_long(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.py")
        if len(path.read_text().splitlines()) > LONGEST_LINES
    }


def test_no_file_is_longer_than_a_reader_can_keep_in_mind() -> None:
    longer = too_long(CHAOS)
    assert not longer, f"longer than {LONGEST_LINES} lines: divide {', '.join(sorted(longer))}"


@pytest.mark.parametrize(("lines", "found"), [(LONGEST_LINES, set()), (LONGEST_LINES + 1, {"room/noun.py"})])
def test_a_line_more_is_seen(tmp_path: Path, lines: int, found: set[str]) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "noun.py").write_text("pass\n" * lines)
    assert too_long(tmp_path) == found


def test_modules_are_in_rooms() -> None:
    beside = sorted(path.name for path in CHAOS.glob("*.py"))
    assert len(beside) <= BESIDE_THE_ROOMS, f"put one of {', '.join(beside)} into a room"


def rooms(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("*/__init__.py")}


def with_tests(folder: Path) -> set[str]:
    return {name for name in rooms(folder) if any((folder / name).rglob("test_*.py"))}


def test_tests_are_in_rooms_of_the_same_names() -> None:
    elsewhere = rooms(TESTS) - rooms(CHAOS) - OTHER_TESTS
    assert not elsewhere, f"tests/{min(elsewhere)} has no room in chaos/: move it to the room that it tests"
    none = rooms(CHAOS) - with_tests(TESTS)
    assert not none, f"chaos/{min(none)} has no tests: they belong in tests/{min(none)}"


def test_a_subject_with_something_of_its_own_has_tests() -> None:
    """One that is only an incident of what is there has nothing that a unit test could try."""
    subjects = CHAOS / "subjects"
    own = {path.parent.name for path in subjects.glob("*/*.py") if path.stem not in {"__init__", "incident"}}
    none = own - with_tests(TESTS / "subjects")
    assert not none, f"chaos/subjects/{min(none)} has no tests: they belong in tests/subjects/{min(none)}"
    elsewhere = rooms(TESTS / "subjects") - rooms(subjects)
    assert not elsewhere, f"tests/subjects/{min(elsewhere)} is of no subject"


def is_public(node: ast.AST) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_")


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    """Each file of the package, by its path in it."""
    return {path.relative_to(CHAOS).as_posix(): ast.parse(path.read_text()) for path in CHAOS.rglob("*.py")}


def test_a_class_has_a_name_of_its_own(trees: dict[str, ast.Module]) -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path, tree in trees.items():
        for node in filter(is_public, tree.body):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(path)
    twice = [f"{name} is in {' and in '.join(found)}" for name, found in places.items() if len(found) > 1]
    assert not twice, f"one name means two things, rename one: {'; '.join(twice)}"


@dataclass(frozen=True)
class Described:
    """What a protocol asks of a class, and which of its methods it describes, at themselves or in its docstring."""

    members: frozenset[str]
    methods: frozenset[str]


def described(tree: ast.Module) -> Iterator[Described]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases):
            methods = {each.name for each in node.body if is_public(each) and ast.get_docstring(each)}
            optional = re.findall(r"`(\w+)\(", ast.get_docstring(node) or "")
            yield Described(members_of(node), frozenset(methods).union(optional))


def members_of(node: ast.ClassDef) -> frozenset[str]:
    fields = {ast.unparse(each.target) for each in node.body if isinstance(each, ast.AnnAssign)}
    fields |= {ast.unparse(name) for each in node.body if isinstance(each, ast.Assign) for name in each.targets}
    return frozenset(fields.union(each.name for each in node.body if is_public(each)))


def untold(tree: ast.Module, protocols: Sequence[Described]) -> Iterator[str]:
    """What is public, has no docstring, and does not do what a protocol says that its class has all of."""
    for node in filter(is_public, tree.body):
        if not ast.get_docstring(node):
            yield node.name
        if isinstance(node, ast.ClassDef) and "asyncio.DatagramProtocol" not in map(ast.unparse, node.bases):
            there = members_of(node)
            told: set[str] = set().union(*(each.methods for each in protocols if each.members <= there))
            for method in filter(is_public, node.body):
                if not ast.get_docstring(method) and method.name not in told:
                    yield f"{node.name}.{method.name}"


def test_what_is_public_says_what_it_does(trees: dict[str, ast.Module]) -> None:
    """What implements a protocol is described there, once."""
    protocols = [each for tree in trees.values() for each in described(tree)]
    silent = [f"{path}: {name}" for path, tree in trees.items() for name in untold(tree, protocols)]
    assert not silent, f"a docstring lacks: {', '.join(silent)}"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("def a(): ...\n", ["a"]),
        ("class A:\n  'A.'\n  kind: str\n  def plan(self): ...\n  def b(self): ...\n", ["A.b"]),
        ("class A:\n  'It has no kind.'\n  def plan(self): ...\n", ["A.plan"]),
        ("def _a(): ...\n", []),
    ],
)
def test_what_says_nothing_is_seen(code: str, found: list[str]) -> None:
    protocol = ast.parse('class P(Protocol):\n  "P."\n  kind: str\n  def plan(self):\n    "Plan."\n')
    assert list(untold(ast.parse(code), list(described(protocol)))) == found
