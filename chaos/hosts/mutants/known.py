"""All the mutants there are. A file beside this one has those of a component."""

from chaos.errors import OrdealError
from chaos.hosts.mutants import apiserver, controller_manager, kubelet, proxy, scheduler
from chaos.hosts.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *kubelet.MUTANTS,
    *controller_manager.MUTANTS,
    *apiserver.MUTANTS,
    *scheduler.MUTANTS,
    *proxy.MUTANTS,
)


def find(name: str) -> Mutant:
    """The mutant of that name. Raises OrdealError that names those there are."""
    for mutant in MUTANTS:
        if mutant.name == name:
            return mutant
    raise OrdealError(f"there is no mutant {name!r}; there are: {', '.join(m.name for m in MUTANTS)}.")
