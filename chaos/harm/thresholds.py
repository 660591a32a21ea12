"""A kubelet's eviction thresholds, and whether one of them is crossed by what the kubelet itself measures."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from kubernetes.utils import parse_quantity

from chaos.clusters.base import Cluster
from chaos.clusters.way.client import raw_get
from chaos.errors import OrdealError

# Signals of file systems, by where the summary API has them. Source: pkg/kubelet/eviction/api/types.go;
# staging/src/k8s.io/kubelet/pkg/apis/stats/v1alpha1/types.go.
_WHERE: Mapping[str, tuple[str, ...]] = {
    "nodefs": ("fs",),
    "imagefs": ("runtime", "imageFs"),
    "containerfs": ("runtime", "containerFs"),
}
_FIELDS: Mapping[str, tuple[str, str]] = {
    "available": ("availableBytes", "capacityBytes"),
    "inodesFree": ("inodesFree", "inodes"),
}


@dataclass(frozen=True, slots=True)
class Crossed:
    """A threshold that is crossed: the signal, the threshold as it was given, what is left in per cent."""

    signal: str
    threshold: str
    left_percent: float


def crossed(cluster: Cluster, node: str, thresholds: Mapping[str, str]) -> Crossed | None:
    """The first of the file system thresholds (as in KubeletConfiguration's evictionHard) that is crossed now.

    Raises OrdealError where a threshold is no percentage from 0 to 100 and no quantity, or the kubelet says nothing.
    """
    known = {signal: value for signal, value in thresholds.items() if _place(signal) is not None}
    limits = {signal: _limit(signal, str(value)) for signal, value in known.items()}
    if not limits:
        return None
    stats = json.loads(_ask(cluster, node, "stats/summary"))["node"]
    for signal, limit in limits.items():
        place = _place(signal)
        assert place is not None
        left, total = _measured(stats, *place)
        if total and left < (limit * total if known[signal].endswith("%") else limit):
            return Crossed(signal, known[signal], round(100 * left / total, 1))
    return None


def running_config(cluster: Cluster, node: str) -> Mapping[str, object]:
    """The KubeletConfiguration that the kubelet runs with. Raises OrdealError where it does not say."""
    config = json.loads(_ask(cluster, node, "configz")).get("kubeletconfig")
    if not isinstance(config, dict):
        raise OrdealError(f"the kubelet of {node} does not say with which configuration it runs")
    return config


def hard_thresholds(config: Mapping[str, object]) -> Mapping[str, str]:
    """The hard eviction thresholds of a KubeletConfiguration, by signal."""
    hard = config.get("evictionHard") or {}
    return {str(k): str(v) for k, v in hard.items()} if isinstance(hard, Mapping) else {}


def _ask(cluster: Cluster, node: str, what: str) -> bytes:
    try:
        with cluster.api() as client:
            return raw_get(client, f"/api/v1/nodes/{node}/proxy/{what}")
    except OrdealError:
        raise
    except Exception as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise OrdealError(f"the kubelet of {node} can't be asked for {what} ({why}); is it running?") from error


def _place(signal: str) -> tuple[tuple[str, ...], tuple[str, str]] | None:
    file_system, _, field = signal.partition(".")
    return (_WHERE[file_system], _FIELDS[field]) if file_system in _WHERE and field in _FIELDS else None


def _limit(signal: str, threshold: str) -> float:
    """As a fraction where it is a percentage, else in bytes or inodes."""
    parse: Callable[[str], Decimal] = parse_quantity
    try:
        limit = float(threshold.removesuffix("%")) / 100 if threshold.endswith("%") else float(parse(threshold))
    except ValueError:
        limit = -1.0
    if not limit >= 0 or (threshold.endswith("%") and limit > 1):  # neither is true of NaN
        raise OrdealError(f"the threshold {signal}<{threshold} is no percentage from 0% to 100% and no quantity")
    return limit


def _measured(stats: object, where: tuple[str, ...], fields: tuple[str, str]) -> tuple[float, float]:
    for key in where:
        stats = stats.get(key) if isinstance(stats, Mapping) else None
    numbers = stats if isinstance(stats, Mapping) else {}
    return float(numbers.get(fields[0]) or 0), float(numbers.get(fields[1]) or 0)
