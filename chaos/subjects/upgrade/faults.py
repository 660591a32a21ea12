"""An upgrade by a command of the user's own."""

import os
import shlex
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import msgspec

from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.uses import Uses
from chaos.subjects.upgrade.command import Command, end, marked

KUBECONFIG, CONTEXT = "KUBE_ORDEAL_KUBECONFIG", "KUBE_ORDEAL_CONTEXT"


class UpgradeCommandPlan(msgspec.Struct, frozen=True):
    """The command as a line, where its output goes ("": nowhere), what marks its processes, which process begins it."""

    command: str
    output: str
    mark: str
    begun_by: int


@fault
@dataclass(frozen=True, slots=True)
class UpgradeCommand:
    """Run a command of the user's own that upgrades the cluster, on this machine, by its words and without a shell.

    Its environment says which cluster it is (KUBE_ORDEAL_KUBECONFIG, KUBE_ORDEAL_CONTEXT). It ends by itself. Nothing
    of an upgrade can be undone: undo ends what still runs of the command. Of a run that was killed nothing is ended,
    since an upgrade that is cut short may be worse than one that nobody watched: it is waited for.
    """

    kind: ClassVar[str] = "upgrade-command"
    needs: ClassVar[tuple[type, ...]] = ()
    uses: ClassVar[Uses] = Uses()
    counterpart: ClassVar[str] = "end_upgrade_command"
    remains: ClassVar[str] = (
        "an upgrade that was cut short may be half done, and nothing here takes it back: let your own tool bring it to "
        "its end, and look with `kubectl get nodes` that each node is Ready, not cordoned, and of the same version"
    )
    command: str
    output: str = ""
    running: Command = field(default_factory=Command, init=False, repr=False, compare=False)

    def plan(self, cluster: Cluster) -> UpgradeCommandPlan:
        return UpgradeCommandPlan(self.command, self.output, uuid.uuid4().hex, os.getpid())

    def apply(self, cluster: Cluster, saved: UpgradeCommandPlan) -> None:
        where = {KUBECONFIG: str(Path(cluster.ref.kubeconfig).absolute()), CONTEXT: cluster.ref.context}
        output = Path(saved.output) if saved.output else None
        self.running.start(shlex.split(saved.command), output, saved.mark, where)

    def landed(self, cluster: Cluster, saved: UpgradeCommandPlan) -> bool:
        return self.running.is_over or bool(marked(saved.mark))

    @staticmethod
    def lasts(cluster: Cluster, saved: UpgradeCommandPlan) -> None:
        """It ends by itself."""

    @staticmethod
    def undo(cluster: Cluster, saved: UpgradeCommandPlan) -> None:
        left = marked(saved.mark)
        if left and saved.begun_by != os.getpid():
            raise OrdealError(
                f"`{saved.command}` still runs (process {left[0]}): let it come to its end, or end it yourself"
            )
        end(saved.mark)

    @staticmethod
    def undone(cluster: Cluster, saved: UpgradeCommandPlan) -> bool:
        return not marked(saved.mark)
