"""Which machine each Node says that it stands for."""

from typing import ClassVar

import msgspec

from chaos.record.records import Observation
from chaos.record.registry import Seconds, record

ASKED = "nodes-asked"  # Sample: how many Nodes there were, each time that they were asked for
GAP_S = 3.0  # longer without an answer is a gap
_GONE = "gone"
# As one says it, and as a line of a history has it.
NAMES = {"machine_id": "machine id", "system_uuid": "system UUID", "provider_id": "provider id", "address": "address"}


class MachineIds(msgspec.Struct, frozen=True, omit_defaults=True, rename=NAMES):
    """What a Node says of its machine; empty where it says nothing."""

    machine_id: str = ""
    system_uuid: str = ""
    provider_id: str = ""
    address: str = ""

    def shared_with(self, other: "MachineIds") -> tuple[str, ...]:
        """What is the same in both, as one says it."""
        return tuple(
            name for field, name in NAMES.items() if (own := getattr(self, field)) and own == getattr(other, field)
        )


@record
class NodeMachine(msgspec.Struct, frozen=True, gc=False):
    """What a Node says of its machine from now on; None where the Node is gone."""

    kind: ClassVar[str] = "node-identity"
    version: ClassVar[int] = 1
    at: Seconds
    node: str
    machine: MachineIds | None

    @property
    def object(self) -> str:
        return self.node

    def told(self) -> str:
        return _GONE if self.machine is None else msgspec.json.encode(self.machine).decode()

    @classmethod
    def of_observation(cls, old: Observation) -> "NodeMachine":
        return cls(old.at, old.subject, None if old.seen == _GONE else msgspec.json.decode(old.seen, type=MachineIds))
