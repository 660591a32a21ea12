"""What a replay is judged by: each finding kept with its history, and compared with what the suite's mark declares."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from chaos.errors import OrdealError
from chaos.judge.base import Finding, Invariant, Verdict, judge, stays_broken
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
    ) -> None:
        """`register`: what the mark declares; None where it declares nothing. The others: as in Lab."""
        self._what = f"{story.incident.id}{f' ({story.variant})' if story.variant else ''}"
        self._beginning, self._register, self._report = beginning, register, report
        self._findings, self._histories, self._directory = findings, histories, directory

    def judge(self, history: History, invariants: Sequence[Invariant]) -> None:
        """Judge a history by each. Raises OrdealError where one is not declared."""
        path = history.path or self._keep(history)
        for invariant in invariants:
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
            made = [each for each in self._register.unjudged(history) if stays_broken(each)] if self._register else []
            found = [judge(each, history) for each in made]
        except Exception:  # noqa: BLE001  (what reads a recording was written for whole ones; the story's error counts)
            return []
        return [each for each in found if each.verdict is Verdict.VIOLATED]

    def next_path(self) -> Path:
        """Where the next recording is kept."""
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
        path = self.next_path()
        self._histories.append(path)
        kept = History(path, began=history.began, began_wall=history.began_wall)
        for record in (self._beginning, *history):
            kept.add(record)
        kept.close()
        return path
