"""A kubelet's configuration, changed on one node alone."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import yaml

from chaos.clusters.base import Cluster, NodeExec
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.target import ready_worker
from chaos.harm.thresholds import crossed, hard_thresholds, running_config
from chaos.record.journal import Saved

CONFIG = "/var/lib/kubelet/config.yaml"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
# By a rename, so that it is the old content or the new at any moment. The content comes as an argument: an input that
# is cut short, because we were killed, would be taken for the whole.
_WRITE = (
    'printf %s "$2" | base64 -d > "$1.kube-ordeal"; chmod "$3" "$1.kube-ordeal"; chown "$4" "$1.kube-ordeal"; '
    'touch -d "@$5" "$1.kube-ordeal"; mv "$1.kube-ordeal" "$1"'
)


class _Shell(Cluster, NodeExec, Protocol): ...


@fault
@dataclass(frozen=True, slots=True)
class SetKubeletConfig:
    """Merge keys into one node's KubeletConfiguration (RFC 7396: null takes a key out) and restart that kubelet.

    Undo puts the old file back as it was, byte for byte, and restarts the kubelet where it may have read another.
    """

    kind: ClassVar[str] = "set-kubelet-config"
    counterpart: ClassVar[str] = "restore_kubelet_config"
    needs: ClassVar[tuple[type, ...]] = (NodeExec,)
    node: str
    changes: Mapping[str, object]

    def plan(self, cluster: _Shell) -> Saved:
        ready_worker(cluster, self.node, "its kubelet's configuration is not changed")
        if not isinstance(self.changes, Mapping) or not self.changes:
            raise OrdealError(f"set-kubelet-config for {self.node} names no key of KubeletConfiguration to change")
        found = crossed(cluster, self.node, hard_thresholds(self.changes))
        if found is not None:
            raise OrdealError(
                f"the threshold {found.signal}<{found.threshold} is already crossed on {self.node} before the fault: "
                f"{found.left_percent:g} % is left; give it more room or a lower threshold"
            )
        said = cluster.node_exec(self.node, ["sh", "-ec", _READ, "read", CONFIG]).out.split()
        mode, owner, mtime, before = said
        after = yaml.safe_dump(merged(yaml.safe_load(base64.b64decode(before)), self.changes))
        return {
            "node": self.node,
            "mode": mode,
            "owner": owner,
            "mtime": mtime,
            "before": before,
            "after": base64.b64encode(after.encode()).decode(),
        }

    def apply(self, cluster: _Shell, saved: Saved) -> None:
        _write(cluster, saved, str(saved["after"]))
        _restart(cluster, str(saved["node"]))

    def landed(self, cluster: _Shell, saved: Saved) -> bool:
        node = str(saved["node"])
        return _has_read_its_config(cluster, node) and _shows(running_config(cluster, node), self.changes)

    @staticmethod
    def undo(cluster: _Shell, saved: Saved) -> None:
        node = str(saved["node"])
        if not _is_as_before(cluster, saved):
            _write(cluster, saved, str(saved["before"]))
        cluster.node_exec(node, ["rm", "-f", f"{CONFIG}.kube-ordeal"])
        if not _has_read_its_config(cluster, node):
            _restart(cluster, node)

    @staticmethod
    def undone(cluster: _Shell, saved: Saved) -> bool:
        return _is_as_before(cluster, saved) and _has_read_its_config(cluster, str(saved["node"]))


_READ = 'stat -c "%a %u:%g %.9Y" "$1"; base64 -w 0 "$1"'


def merged(config: object, changes: Mapping[str, object]) -> dict[str, object]:
    """`changes` merged into `config` as RFC 7396 (JSON Merge Patch) says."""
    found = dict(config) if isinstance(config, Mapping) else {}
    for key, value in changes.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value) if isinstance(value, Mapping) else value
    return found


def _write(cluster: NodeExec, saved: Saved, content: str) -> None:
    facts = [str(saved[key]) for key in ("mode", "owner", "mtime")]
    cluster.node_exec(str(saved["node"]), ["sh", "-ec", _WRITE, "write", CONFIG, content, *facts])


def _is_as_before(cluster: NodeExec, saved: Saved) -> bool:
    said = cluster.node_exec(str(saved["node"]), ["sh", "-ec", _READ, "read", CONFIG]).out.split()
    return said == [str(saved[key]) for key in ("mode", "owner", "mtime", "before")]


def _restart(cluster: NodeExec, node: str) -> None:
    cluster.node_exec(node, ["sh", "-ec", "systemctl reset-failed kubelet || true; systemctl restart kubelet"])


def _has_read_its_config(cluster: NodeExec, node: str) -> bool:
    """Whether the kubelet runs, and was started after its file was put where it is: a rename sets the ctime."""
    ask = 'stat -c %.9Z "$1"; systemctl is-active kubelet || true; '
    ask += 'date +%s.%N -d "$(systemctl show kubelet --property ExecMainStartTimestamp --timestamp us+utc --value)"'
    put, state, started = cluster.node_exec(node, ["sh", "-ec", ask, "ask", CONFIG]).out.split()
    return state == "active" and float(started) > float(put)


def _shows(running: object, changes: object) -> bool:
    if isinstance(changes, Mapping):
        there = running if isinstance(running, Mapping) else {}
        return all(_shows(there.get(key), value) for key, value in changes.items())
    if changes is None:
        return True  # a key that was taken out shows its default
    return running == changes or _seconds(running) == _seconds(changes) is not None


def _seconds(value: object) -> float | None:
    """A Go duration in seconds, None where it is none."""
    parts = _DURATION.findall(value) if isinstance(value, str) else []
    if not parts or "".join(number + unit for number, unit in parts) != value:
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)
