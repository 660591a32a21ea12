"""What a replay is judged by: each finding kept with its history, and compared with what the suite's mark declares."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from chaos.errors import OrdealError
from chaos.judge.availability import watched_in, watched_service_answers
from chaos.judge.base import Finding, Invariant, Verdict, judge, stays_broken
from chaos.record.given import LimitGiven, SetAside
from chaos.record.history import History
from chaos.record.records import Phase
from chaos.run.incident import Replay
from chaos.run.promised import Register


class Judging:
    """Takes the findings of one replay, in `findings`; the histories that they are of are files, in `histories`."""

    def __init__(
        self,
        story: Replay,
        beginning: Phase,
        register: Register | None,
        findings: list[Finding],
        histories: list[Path],
        directory: Path,
        report: Callable[[str], None],
        limits: Sequence[LimitGiven] = (),
    ) -> None:
        """`register`: what the mark declares; None where it declares nothing. `limits`: the user's own. The others: as
        in Lab.
        """
        self._what = f"{story.incident.id}{f' ({story.variant})' if story.variant else ''}"
        self._beginning, self._register, self._report = beginning, register, report
        self._findings, self._histories, self._directory = findings, histories, directory
        self._limits, self._watched = limits, set[Path]()  # of which recordings what was watched is judged

    def recording(self, aside: Mapping[str, str]) -> History:
        """A new recording. It begins with what it is of, with the limits of the user's own that it is judged by, and
        with the nodes that are set `aside`, each with why.
        """
        path = self._next_path()
        self._histories.append(path)
        history = History(path)
        history.add(self._beginning)
        for limit in self._limits:
            history.add(limit)
        for node, why in aside.items():
            history.add(SetAside(0.0, node, why))
        return history

    def judge(self, history: History, invariants: Sequence[Invariant]) -> None:
        """Judge a history by each, and by what was watched in it. Raises OrdealError where one is not declared."""
        path = history.path or self._keep(history)
        watched = _of_watched(history) if path not in self._watched else ()
        self._watched.add(path)
        for invariant in (*invariants, *watched):
            self._check(self._register.take(str(path), history, invariant.recipe) if self._register else "")
            finding = replace(judge(invariant, history), history=path)
            self._findings.append(finding)
            self._report(f"  {finding.verdict}: {finding.invariant}: {finding.sentence}")

    def check_complete(self) -> None:
        """Raises OrdealError where a promise that is declared was not judged."""
        if self._register is not None:
            self._check(*self._register.lacking())

    def broken(self, history: History) -> list[Finding]:
        """What is violated in a recording that ended because the story failed, and stays so whatever had come after."""
        try:
            unjudged = self._register.unjudged(history) if self._register else ()
            found = [judge(each, history) for each in (*unjudged, *_of_watched(history)) if stays_broken(each)]
        except Exception:  # noqa: BLE001  (what reads a recording was written for whole ones; the story's error counts)
            return []
        return [each for each in found if each.verdict is Verdict.VIOLATED]

    def _next_path(self) -> Path:
        return self._directory / "history" / f"{len(self._histories)}.jsonl"

    def _check(self, *why_not: str) -> None:
        """What is judged has to be what is declared: nobody else could check it."""
        if any(why_not):
            raise OrdealError(
                f"{self._what} does not judge what its mark declares: {'; '.join(why_not)}. Change `promises` of the "
                "mark in the suite's file, or what the suite passes to lab.expect"
            )

    def _keep(self, history: History) -> Path:
        """Write down what was made in memory, so that it can be judged again."""
        path = self._next_path()
        self._histories.append(path)
        for limit in self._limits:
            history.add(limit)
        kept = History(path, began=history.began, began_wall=history.began_wall)
        for record in (self._beginning, *history):
            kept.add(record)
        kept.close()
        return path


def _of_watched(history: History) -> tuple[Invariant, ...]:
    return tuple(watched_service_answers(service) for service in watched_in(history))
