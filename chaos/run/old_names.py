"""The options' old names, from before they had a prefix: taken as long as no other plugin, or conftest, has them."""

import argparse
import os
from collections.abc import Callable, Sequence

import pytest

from chaos.run.options import OPTIONS

NEW = {each.old: each.written for each in OPTIONS if each.old}


def are_in(arguments: Sequence[str]) -> bool:
    """Whether there is one among them."""
    return any(_name(each) in NEW for each in arguments)


def translated(arguments: Sequence[str], is_free: Callable[[str], bool]) -> list[str]:
    """The arguments, with the new name for each old one that `is_free`; what comes after `--` stays as it is."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    free = {name: is_free(name) for name in NEW.keys() & {_name(each) for each in arguments[:end]}}
    return [
        each.replace(_name(each), NEW[_name(each)], 1) if free.get(_name(each)) else each for each in arguments[:end]
    ] + list(arguments[end:])


def is_free(parser: pytest.Parser, name: str) -> bool:
    """Whether pytest does not know an option of that name: then it is left over, and no value is asked for it."""
    try:
        return name in parser.parse_known_and_unknown_args([name])[1]
    except (pytest.UsageError, SystemExit):  # it wants a value, or does something at once
        return False


def add(parser: pytest.Parser) -> None:
    """Add those that are free, for a conftest that brings the plugin: that is too late to translate them."""
    group = parser.getgroup("kube-ordeal")
    for each in OPTIONS:
        if each.old and is_free(parser, each.old):
            each.add(group, each.old, argparse.SUPPRESS)


def _name(argument: str) -> str:
    return os.fspath(argument).partition("=")[0]  # pytest.main takes paths too
