"""Mutants of a module: programs that differ from it in one place, and how they are put in the module's place.

What may differ says Cosmic Ray (`make bench-judges` installs it), by those of its operators that leave a program that
runs, and two operators more: a condition that is never true, and a filter that lets everything through. Cosmic Ray's
own runner writes each mutant into the tree and starts its tests as a new process; here a mutant is only in memory.
(mutmut, which forks too, leaves out every function that has a decorator: all promises.)
"""

import ast
import difflib
import gc
import importlib.abc
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from inspect import CO_NEWLOCALS
from itertools import count
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# Each comparison beside its bound, turned round, and negated; each operation by one that takes the same operands.
_PAIRS = {
    "ReplaceComparisonOperator": "Eq_NotEq NotEq_Eq Is_IsNot IsNot_Is Lt_LtE Lt_Gt Lt_GtE LtE_Lt LtE_Gt LtE_GtE "
    "Gt_Lt Gt_LtE Gt_GtE GtE_Lt GtE_LtE GtE_Gt",
    "ReplaceBinaryOperator": "Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Mul Mod_FloorDiv BitOr_BitAnd BitAnd_BitOr",
    "ReplaceUnaryOperator": "Delete_Not Delete_USub",
}
_ALONE = (
    "AddNot ExceptionReplacer NumberReplacer RemoveDecorator ReplaceAndWithOr ReplaceBreakWithContinue "
    "ReplaceContinueWithBreak ReplaceFalseWithTrue ReplaceOrWithAnd ReplaceTrueWithFalse ZeroIterationForLoop"
)
OPERATORS = (*(f"{name}_{pair}" for name, pairs in _PAIRS.items() for pair in pairs.split()), *_ALONE.split())
Place = tuple[str, int]  # a function's qualified name, and its first line
Code = dict[tuple[str, int], CodeType]  # those of a module, by qualified name, and which one of those with that name


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module with one change. `module`: its path in the tree; `source`: all of it, with the change."""

    module: str
    line: int
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line}\n    - {self.before}\n    + {self.after}"


class ConditionNever:
    """What an `if` or `elif` is for never happens: a doubt that is not raised."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """As Cosmic Ray asks its operators."""
        for at in self._conditions(node):
            yield node.children[at].start_pos, node.children[at].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """As Cosmic Ray asks its operators."""
        return _replaced(node, self._conditions(node)[index], "False")

    @staticmethod
    def _conditions(node: Any) -> list[int]:
        if node.type != "if_stmt":
            return []
        return [at + 1 for at, each in enumerate(node.children) if getattr(each, "value", "") in {"if", "elif"}]


class FilterGone:
    """A comprehension that leaves nothing out."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """As Cosmic Ray asks its operators."""
        if node.type == "comp_if":
            yield node.children[1].start_pos, node.children[1].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """As Cosmic Ray asks its operators."""
        return _replaced(node, 1, "True")


def _replaced(node: Any, at: int, text: str) -> Any:
    import parso  # noqa: PLC0415  (only `make bench-judges` has it)

    parse: Any = parso.parse
    node.children[at] = parse(f" {text}")
    return node


@dataclass(frozen=True, slots=True)
class Change:
    """One place of a module where an operator may be used. `at`, `until`: the statement around it, as characters."""

    module: str
    at: int
    until: int
    operator: int
    occurrence: int
    line: int


def _operators() -> list[Any]:
    from cosmic_ray.operators.provider import OperatorProvider  # noqa: PLC0415

    known = OperatorProvider()
    return [*(known[name]() for name in OPERATORS), ConditionNever(), FilterGone()]


def changes(module: str) -> list[Change]:
    """All changes that a module may have, in the order of its lines."""
    from cosmic_ray.ast import ast_nodes, get_ast  # noqa: PLC0415

    source, found, at = (ROOT / module).read_text(), list[Change](), 0
    types, lines = _annotations(source), source.splitlines()
    for statement in get_ast(source).children:
        nodes, until = list(ast_nodes(statement)), at + len(statement.get_code())
        for number, operator in enumerate(_operators()):
            places = [start for node in nodes for start, _ in operator.mutation_positions(node)]
            for occurrence, start in enumerate(places):
                star = lines[start[0] - 1].startswith("*,", start[1])  # before arguments by name: no operation
                if not star and not any(begin <= start < end for begin, end in types):
                    found.append(Change(module, at, until, number, occurrence, start[0]))
        at = until
    return sorted(found, key=lambda each: (each.line, each.operator, each.occurrence))


def mutant(change: Change) -> Mutant | None:
    """The program with a change; None where that compiles to the same one, or to none."""
    from cosmic_ray.mutating import mutate_code  # noqa: PLC0415

    source = (ROOT / change.module).read_text()
    text = source[change.at : change.until]  # to parse all of it takes all the time
    try:
        part = mutate_code(text, _operators()[change.operator], change.occurrence) or text
    except AttributeError:  # Cosmic Ray's operator for exceptions knows no names with a dot
        return None
    changed = source[: change.at] + part + source[change.until :]
    if not _differs(code_of(source), changed):
        return None
    return Mutant(change.module, change.line, *_difference(text, part), changed)


def _differs(before: Code, source: str) -> bool:
    """Whether it is a program, and another one."""
    try:
        return bool(changed_places(before, code_of(source)))
    except SyntaxError:
        return False


def _annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where types are said, as (line, column) from and until: no program depends on them."""
    tree = ast.walk(ast.parse(source))
    said = [getattr(node, name, None) for node in tree for name in ("annotation", "returns")]
    return [
        ((each.lineno, each.col_offset), (each.end_lineno or 0, each.end_col_offset or 0))
        for each in said
        if isinstance(each, ast.expr)
    ]


def _difference(before: str, after: str) -> tuple[str, str]:
    """The lines that differ, each side as one."""
    lines = [each for each in difflib.ndiff(before.splitlines(), after.splitlines()) if each[2:].strip()]
    gone, new = ([each[2:].strip() for each in lines if each[:2] == sign] for sign in ("- ", "+ "))
    return " / ".join(gone), " / ".join(new) or "(nothing)"


def code_of(source: str, path: str = "mutant") -> Code:
    """The code of a module, of its classes and of all its functions. A change elsewhere may move its lines."""
    found: Code = {}

    def add(code: CodeType) -> None:
        key = next(key for n in count() if (key := (code.co_qualname, n)) not in found)
        found[key] = code
        for each in code.co_consts:
            if isinstance(each, CodeType):
                add(each)

    add(compile(source, path, "exec", dont_inherit=True))
    return found


def changed_places(before: Code, after: Code) -> set[Place]:
    """Where code differs by itself, not only in a function inside it. What is gone is told by what had it."""
    changed = [key for key, code in before.items() if key in after and _own(code) != _own(after[key])]
    return {(name, before[name, n].co_firstlineno) for name, n in changed}


def _own(code: CodeType) -> tuple[object, ...]:
    constants = tuple((type(each), repr(each)) for each in code.co_consts if not isinstance(each, CodeType))
    return code.co_code, constants, code.co_names, code.co_varnames


def runs_at_import(places: Iterable[Place], before: Code) -> bool:
    """Whether a change is in what runs when the module is imported, so that it has to be imported anew."""
    functions = {(name, code.co_firstlineno) for (name, _), code in before.items() if code.co_flags & CO_NEWLOCALS}
    return any(place not in functions for place in places)


def functions_of(modules: Iterable[str]) -> dict[str, list[FunctionType]]:
    """All functions that there are in this process of some modules, by the module's path in the tree."""
    found: dict[str, list[FunctionType]] = {each: [] for each in modules}
    paths = {str(ROOT / each): each for each in found}
    for each in gc.get_objects():
        if isinstance(each, FunctionType) and each.__code__.co_filename in paths:
            found[paths[each.__code__.co_filename]].append(each)
    return found


def put_into(functions: Iterable[FunctionType], before: Code, after: Code) -> int:
    """Give functions of a module that is imported already the mutant's code. Returns how many have another one now."""
    changed = 0
    keys = {_key(code): key for key, code in before.items()}
    for each in functions:
        new = after.get(keys.get(_key(each.__code__), ("", 0)))
        if new is not None and new.co_freevars == each.__code__.co_freevars:
            each.__code__ = new.replace(co_filename=each.__code__.co_filename)
            changed += 1
    return changed


def _key(code: CodeType) -> tuple[object, ...]:
    return code.co_qualname, code.co_firstlineno, tuple(code.co_positions())


class _Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a text."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name, self._path, self._source = name, path, source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Its spec; None for all other modules."""
        return (
            importlib.util.spec_from_file_location(fullname, self._path, loader=self)
            if fullname == self._name
            else None
        )

    def exec_module(self, module: ModuleType) -> None:
        """Run the text in the module."""
        exec(compile(self._source, str(self._path), "exec", dont_inherit=True), module.__dict__)


def import_instead(mutant: Mutant) -> str:
    """The name of the mutant's module, which this process imports from the mutant from now on."""
    name = mutant.module.removesuffix(".py").replace("/", ".")
    sys.meta_path.insert(0, _Instead(name, ROOT / mutant.module, mutant.source))
    return name


@dataclass(frozen=True, slots=True)
class Reach:
    """Which tests call which function. `tests`: by path and place the tests' ids; `at_import`: what runs before any."""

    tests: Mapping[tuple[str, Place], frozenset[str]]
    at_import: frozenset[tuple[str, Place]]

    def of(self, module: str, places: Iterable[Place]) -> frozenset[str]:
        """The tests that reach any of these places."""
        return frozenset().union(*(self.tests.get((module, place), frozenset()) for place in places))

    def of_all(self, module: str) -> frozenset[str]:
        """The tests that reach anything of the module."""
        return frozenset().union(*(tests for (path, _), tests in self.tests.items() if path == module))
