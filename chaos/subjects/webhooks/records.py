"""What was tried while a webhook may be away: a pod of the system, one of a node, a lease, its configuration."""

from enum import StrEnum
from typing import ClassVar

import msgspec

from chaos.record.registry import Seconds, record

GAP_S = 25.0  # longer without an answer is a gap; a slow webhook may take 10 s of each of two requests


class Request(StrEnum):
    """What is asked for, as a dry run: a pod in kube-system, a change of a node's lease, one of the webhook's own
    configuration, and, by a node, a pod in a namespace that the webhook is asked about.
    """

    SYSTEM_POD = "system-pod"
    NODE_LEASE = "node-lease"
    CONFIGURATION = "configuration"
    NODE_POD = "node-pod"


@record
class Admission(msgspec.Struct, frozen=True, gc=False):
    """A request was made: whether it was admitted, or refused because a webhook could not be called."""

    kind: ClassVar[str] = "admission"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    request: Request
    admitted: bool

    @property
    def object(self) -> str:
        return self.request
