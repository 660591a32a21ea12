"""The invariants, one file per subject. `load_all` registers their promises, so that a recipe finds its own."""

import importlib
import pkgutil


def load_all() -> None:
    """Import every module of this package."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
