"""kube-ordeal for Chaos Toolkit: faults as actions, measures as probes, incidents as experiments."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from chaos.hosts import extras

__all__ = ["discover", "experiments_dir"]


def discover(discover_system: bool = True) -> dict[str, Any]:  # noqa: ARG001  (Chaos Toolkit passes it by name)
    """What `chaos discover --no-install kube-ordeal` lists. Nothing of a system is looked at."""
    extras.need(extras.TOOLKIT)
    from chaoslib.discovery import (  # noqa: PLC0415  (an extra)
        discover_actions,
        discover_probes,
        initialize_discovery_result,
    )

    found: dict[str, Any] = initialize_discovery_result("kube-ordeal", version("kube-ordeal"), "kubernetes")
    found["activities"] = [*discover_actions(f"{__name__}.actions"), *discover_probes(f"{__name__}.probes")]
    return found


def experiments_dir() -> Path:
    """Where the experiment files are: one for each replay of the catalogue, and `own-experiment.yaml`."""
    return Path(__file__).parent / "experiments"
