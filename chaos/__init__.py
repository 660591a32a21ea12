"""kube-ordeal: replay published Kubernetes incidents and judge the cluster's promises."""

from importlib import import_module
from typing import Any

__all__ = ["discover"]


def discover(discover_system: bool = True) -> Any:
    """Chaos Toolkit looks for this in the distribution's top package; the rest of it is in chaos.toolkit."""
    return import_module("chaos.toolkit").discover(discover_system)  # not imported by all who import this package
