"""A kubelet's configuration, changed on one node alone."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import msgspec
import yaml

from chaos.basics.go_duration import go_seconds
from chaos.clusters.abilities import NodeExec
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.target import ready_worker
from chaos.harm.thresholds import crossed, hard_thresholds, running_config
from chaos.harm.uses import Capability, Uses

CONFIG = "/var/lib/kubelet/config.yaml"
# By a rename, so that it is the old content or the new at any moment. The content comes as an argument: an input that
# is cut short, because we were killed, would be taken for the whole.
_WRITE = (
    'printf %s "$2" | base64 -d > "$1.kube-ordeal"; chmod "$3" "$1.kube-ordeal"; chown "$4" "$1.kube-ordeal"; '
    'touch -d "@$5" "$1.kube-ordeal"; mv "$1.kube-ordeal" "$1"'
)


class _Shell(Cluster, NodeExec, Protocol): ...


class SetKubeletConfigPlan(msgspec.Struct, frozen=True):
    """The file's mode, owner ("UID:GID") and time of change as stat(1) says them; its content in base64."""

    node: str
    mode: str
    owner: str
    mtime: str
    before: str
    after: str


@fault
@dataclass(frozen=True, slots=True)
class SetKubeletConfig:
    """Merge keys into one node's KubeletConfiguration (RFC 7396: null takes a key out) and restart that kubelet.

    Undo puts the old file back as it was, byte for byte, and restarts the kubelet where it may have read another.
    """

    kind: ClassVar[str] = "set-kubelet-config"
    counterpart: ClassVar[str] = "restore_kubelet_config"
    needs: ClassVar[tuple[type, ...]] = (NodeExec,)
    uses: ClassVar[Uses] = Uses(
        capabilities=(Capability.CHOWN, Capability.FOWNER), programs=("systemctl",), labels=True
    )
    node: str
    changes: Mapping[str, object]

    def plan(self, cluster: _Shell) -> SetKubeletConfigPlan:
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
        after_as_text = base64.b64encode(after.encode()).decode()
        return SetKubeletConfigPlan(self.node, mode, owner, mtime, before, after_as_text)

    def apply(self, cluster: _Shell, saved: SetKubeletConfigPlan) -> None:
        _write(cluster, saved, saved.after)
        _restart(cluster, saved.node)

    def landed(self, cluster: _Shell, saved: SetKubeletConfigPlan) -> bool:
        if not _has_read_its_config(cluster, saved.node):
            return False
        return _shows(running_config(cluster, saved.node), self.changes)

    @staticmethod
    def lasts(cluster: _Shell, saved: SetKubeletConfigPlan) -> bool:
        return cluster.node_exec(saved.node, ["base64", "-w", "0", CONFIG]).out == saved.after

    @staticmethod
    def undo(cluster: _Shell, saved: SetKubeletConfigPlan) -> None:
        if not _is_as_before(cluster, saved):
            _write(cluster, saved, saved.before)
        cluster.node_exec(saved.node, ["rm", "-f", f"{CONFIG}.kube-ordeal"])
        if not _has_read_its_config(cluster, saved.node):
            _restart(cluster, saved.node)

    @staticmethod
    def undone(cluster: _Shell, saved: SetKubeletConfigPlan) -> bool:
        return _is_as_before(cluster, saved) and _has_read_its_config(cluster, saved.node)


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


def _write(cluster: NodeExec, saved: SetKubeletConfigPlan, content: str) -> None:
    facts = [saved.mode, saved.owner, saved.mtime]
    cluster.node_exec(saved.node, ["sh", "-ec", _WRITE, "write", CONFIG, content, *facts])


def _is_as_before(cluster: NodeExec, saved: SetKubeletConfigPlan) -> bool:
    said = cluster.node_exec(saved.node, ["sh", "-ec", _READ, "read", CONFIG]).out.split()
    return said == [saved.mode, saved.owner, saved.mtime, saved.before]


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
    if isinstance(running, str) and isinstance(changes, str) and running != changes:
        return go_seconds(running) == go_seconds(changes) is not None  # 90s and 1m30s
    return running == changes
