"""Running specs in e2e.test processes: an outcome for each spec, as it ends."""

from collections.abc import Callable, Sequence
from pathlib import Path

from chaos.conformance.outcome import SpecOutcome
from chaos.conformance.program import Program
from chaos.conformance.spec import Spec

OnOutcome = Callable[[SpecOutcome], None]
TIMEOUT_S = 900.0


def run(
    program: Program,
    specs: Sequence[Spec],
    kubeconfig: Path,
    on_outcome: OnOutcome,
    workdir: Path,
    *,
    context: str = "",
    timeout_s: float = TIMEOUT_S,
    processes: int = 1,
) -> tuple[SpecOutcome, ...]:
    """Run the specs on the cluster of that kubeconfig; one outcome each, in the order of `specs`.

    `on_outcome` is called as each spec ends, from another thread. Up to `processes` specs run side by side; those that
    are serial come last, alone. `timeout_s` is for each spec. A crash or a hang is laid to the spec in flight, and the
    rest goes on in a new process; `workdir` takes the processes' own output. Raises OrdealError only for what is wrong
    before the first spec: a spec that e2e.test does not have, a kubeconfig that can't be read.
    """
    raise NotImplementedError
