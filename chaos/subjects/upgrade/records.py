"""The steps of an upgrade in place, and the pods that were asked for meanwhile. Versions are as "1.36.3"."""

from typing import ClassVar

import msgspec

from chaos.record.records import Observation
from chaos.record.registry import Seconds, record

ASKED = "pod-asked-for-s"  # Sample by the pod's name: seconds until it had run
_SUCCEEDED = "succeeded"


@record
class ApplyBegun(msgspec.Struct, frozen=True, gc=False):
    """`kubeadm upgrade apply` to a version was started on a node."""

    kind: ClassVar[str] = "upgrade-apply-begun"
    version: ClassVar[int] = 1
    at: Seconds
    node: str
    to: str

    @property
    def object(self) -> str:
        return self.node

    def told(self) -> str:
        return self.to

    @classmethod
    def of_observation(cls, old: Observation) -> "ApplyBegun":
        return cls(old.at, old.subject, old.seen)


@record
class ApplyEnded(msgspec.Struct, frozen=True, gc=False):
    """It ended; `words` say how, and are empty where it succeeded."""

    kind: ClassVar[str] = "upgrade-apply-ended"
    version: ClassVar[int] = 1
    at: Seconds
    node: str
    to: str
    words: str = ""

    @property
    def object(self) -> str:
        return self.node

    @property
    def succeeded(self) -> bool:
        """Whether kubeadm ended well."""
        return not self.words

    def told(self) -> str:
        return f"{self.to} {self.words or _SUCCEEDED}"

    @classmethod
    def of_observation(cls, old: Observation) -> "ApplyEnded":
        to, _, words = old.seen.partition(" ")
        return cls(old.at, old.subject, to, "" if words == _SUCCEEDED else words)


@record
class ManifestPlaced(msgspec.Struct, frozen=True, gc=False):
    """It has put the new manifest of a component in place, and more is to come."""

    kind: ClassVar[str] = "upgrade-manifest"
    version: ClassVar[int] = 1
    at: Seconds
    node: str
    component: str
    to: str

    @property
    def object(self) -> str:
        return self.node

    def told(self) -> str:
        return f"{self.component} {self.to}"

    @classmethod
    def of_observation(cls, old: Observation) -> "ManifestPlaced":
        component, _, to = old.seen.rpartition(" ")
        return cls(old.at, old.subject, component, to)


@record
class ControlPlaneVersion(msgspec.Struct, frozen=True, gc=False):
    """The API server of a node says its version."""

    kind: ClassVar[str] = "control-plane-version"
    version: ClassVar[int] = 1
    at: Seconds
    node: str
    runs: str

    @property
    def object(self) -> str:
        return self.node

    def told(self) -> str:
        return self.runs

    @classmethod
    def of_observation(cls, old: Observation) -> "ControlPlaneVersion":
        return cls(old.at, old.subject, old.seen)


@record
class KubeletReplaced(msgspec.Struct, frozen=True, gc=False):
    """The kubelet of a version is about to be started on a node."""

    kind: ClassVar[str] = "kubelet-replaced"
    version: ClassVar[int] = 1
    at: Seconds
    node: str
    to: str

    @property
    def object(self) -> str:
        return self.node

    def told(self) -> str:
        return self.to

    @classmethod
    def of_observation(cls, old: Observation) -> "KubeletReplaced":
        return cls(old.at, old.subject, old.seen)


@record
class CommandEnded(msgspec.Struct, frozen=True, gc=False):
    """The user's own command that upgrades the cluster ended; `words` say how, and are empty where it succeeded."""

    kind: ClassVar[str] = "upgrade-command-ended"
    version: ClassVar[int] = 1
    at: Seconds
    command: str
    words: str = ""

    @property
    def object(self) -> str:
        return self.command

    @property
    def succeeded(self) -> bool:
        """Whether it ended with 0."""
        return not self.words

    def told(self) -> str:
        return self.words or _SUCCEEDED


@record
class PodNeverRan(msgspec.Struct, frozen=True, gc=False):
    """A pod that was asked for had not run in its time."""

    kind: ClassVar[str] = "pod-never-ran"
    version: ClassVar[int] = 1
    at: Seconds
    pod: str
    why: str

    @property
    def object(self) -> str:
        return self.pod

    def told(self) -> str:
        return self.why

    @classmethod
    def of_observation(cls, old: Observation) -> "PodNeverRan":
        return cls(old.at, old.subject, old.seen)
