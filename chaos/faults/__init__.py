"""The faults, one file per target. `load_all` registers them, so that an undo is found by its kind."""

import importlib
import pkgutil


def load_all() -> None:
    """Import every module of this package."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
