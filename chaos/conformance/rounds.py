"""The same specs before and after harm: what became of them, as records of a history and as rows of the results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.clusters.base import Cluster
from chaos.conformance import runner
from chaos.conformance.listing import listing
from chaos.conformance.outcome import SpecOutcome
from chaos.conformance.podlogs import PodLogs
from chaos.conformance.program import E2eProgram
from chaos.conformance.rows import row, state_of
from chaos.conformance.spec import Spec, id_of
from chaos.errors import OrdealError
from chaos.judge.conformance import AFTER, BEFORE, PASSED, ROUNDS
from chaos.record.history import History
from chaos.record.records import SpecRun
from chaos.results.specs import SpecResult

NONE = "none"
# Five quick ones that need what incidents break: names by DNS, a Service by its address and on the nodes' ports; pods
# of every node among each other; controllers and scheduler; volumes; a command in a container, through API server and
# kubelet.
FAST = (
    "[sig-network] Services should be able to create a functioning NodePort service",
    "[sig-network] Networking Granular Checks: Pods should function for intra-pod communication: http",
    "[sig-apps] ReplicaSet should serve a basic image on each replica with a public image",
    "[sig-storage] ConfigMap should be consumable from pods in volume",
    "[sig-node] Pods should support remote command execution over websockets",
)
# Each takes 3 to 15 s where all is well. One that waits for what will not come may wait for ten minutes.
TIMEOUT_S = 90.0
PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Wish:
    """When specs are to be run around an incident; `asked`: the user named it, so that not to run them is no answer."""

    rounds: tuple[str, ...] = ()
    asked: bool = False


DEFAULT = Wish((AFTER,))


def parse(option: str) -> Wish:
    """The value of --ordeal-conform: rounds joined by commas, "none", or "" for the default. Raises OrdealError."""
    if not option:
        return DEFAULT
    named = [part.strip() for part in option.split(",")]
    if named == [NONE]:
        return Wish()
    wrong = [name for name in named if name not in ROUNDS]
    if wrong:
        raise OrdealError(
            f"--ordeal-conform {option}: {wrong[0]!r} is none of {', '.join(ROUNDS)}; join them by commas, or say "
            f"{NONE}"
        )
    if BEFORE in named and AFTER not in named:
        raise OrdealError(f"--ordeal-conform {option}: before alone is compared with nothing; say before,after")
    return Wish(tuple(r for r in ROUNDS if r in named), asked=True)


def chosen(program: E2eProgram, texts: Sequence[str] = FAST) -> tuple[Spec, ...]:
    """The specs of those names (labels left out) that this e2e.test has, in that order. Raises OrdealError: none."""
    known = listing(program).by_id
    found = tuple(known[each] for text in texts if (each := id_of(text)) in known)
    if not found:
        raise OrdealError(f"e2e.test of Kubernetes {program.version} has none of the specs {', '.join(texts)}")
    return found


class Rounds:
    """Runs the specs on a cluster, as often as it is asked to; keeps a row for each."""

    def __init__(
        self,
        cluster: Cluster,
        program: E2eProgram,
        specs: Sequence[Spec],
        directory: Path,
        report: Callable[[str], None],
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """`directory`: the replay's own, below the run's folder."""
        self.specs, self.results = tuple(specs), list[SpecResult]()
        self._cluster, self._program, self._directory, self._report = cluster, program, directory, report
        self._timeout_s = timeout_s

    @property
    def version(self) -> str:
        """The Kubernetes version that they are of."""
        return self._program.version

    @property
    def texts(self) -> tuple[str, ...]:
        """The specs' whole names."""
        return tuple(spec.text for spec in self.specs)

    def run(self, when: str, history: History) -> None:
        """Run them all now: a record and a row for each. Raises OrdealError for what is wrong before the first one."""
        ref, began = self._cluster.ref, len(self.results)
        folder = self._directory / "conformance" / f"{when}-{len({r.round for r in self.results}) + 1}"
        with PodLogs(self._cluster) as logs:

            def ended(outcome: SpecOutcome) -> None:
                state = state_of(outcome)
                pods = logs.take(outcome.output, None if state == PASSED else folder / outcome.spec_id)
                history.add(
                    SpecRun(
                        max(0.0, history.now() - outcome.took_s),
                        when,
                        outcome.text,
                        state,
                        outcome.took_s,
                        outcome.area,
                        outcome.message,
                        outcome.attempts,
                    )
                )
                self.results.append(
                    row(
                        outcome,
                        self._program.version,
                        folder / outcome.spec_id,
                        self._directory.parent,
                        pods,
                        when=when,
                    )
                )
                self._report(f"  {when}: {state}: {outcome.text} ({outcome.took_s:.1f} s)")

            runner.run(
                self._program,
                self.specs,
                Path(ref.kubeconfig),
                ended,
                folder / "e2e",
                context=ref.context,
                timeout_s=self._timeout_s,
                processes=PROCESSES,
            )
        order = {text: n for n, text in enumerate(self.texts)}
        self.results[began:] = sorted(self.results[began:], key=lambda r: order.get(r.spec, len(order)))
