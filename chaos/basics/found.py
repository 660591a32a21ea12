"""Modules that are found by being there: what registers something says so itself, and nothing central lists it."""

import pkgutil
from importlib import import_module
from types import ModuleType


def load(package: str, only: str = "") -> tuple[ModuleType, ...]:
    """Import the modules of a package and of the packages in it, by name; with `only`, those that are called so."""
    names = (each.name for each in pkgutil.walk_packages(import_module(package).__path__, f"{package}."))
    return tuple(import_module(name) for name in sorted(names) if not only or name.rpartition(".")[2] == only)
