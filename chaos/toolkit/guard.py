"""The guard: a Chaos Toolkit control that every experiment here names, so that `chaos run` can't pass by mistake.

Chaos Toolkit by itself calls a run completed, and exits with 0, although an action or a rollback failed, or the
hypothesis was not met before the method. The guard looks at every activity's status at the end, takes back what is
left, and puts the verdict into Chaos Toolkit's journal under "kube-ordeal". The journal's `status` and `deviated` are:

    as it must be  completed, not deviated: hardened held, a control violated for the reason that it names
    another        completed, deviated
    unknown        failed (aborted or interrupted where it was), not deviated

What activities said and raised stands in that journal, visible and without secrets.

Chaos Toolkit swallows what a control raises: so the status is set to failed first, and to a better one at the end.
"""

import logging
import os
from collections.abc import MutableMapping
from typing import Any

from chaos.basics.scrub import scrubbed
from chaos.basics.visible import visible
from chaos.judge.base import Verdict
from chaos.toolkit.log import say
from chaos.toolkit.reported import reported
from chaos.toolkit.session import SESSION

__all__ = ["after_activity_control", "after_experiment_control"]

logger = logging.getLogger("chaostoolkit")

Activity = MutableMapping[str, Any]  # Chaos Toolkit's own types: JSON objects
Journal = MutableMapping[str, Any]


def after_activity_control(context: Activity, state: Activity | None = None) -> None:
    """A failed activity, also one that is not ours, makes the verdict unknown."""
    if state is not None and state.get("status") == "failed":
        SESSION.note(_failure(context, state))


def after_experiment_control(context: object, state: Journal) -> None:  # noqa: ARG001  (Chaos Toolkit passes it by name)
    """Take back what is left and set the journal's status by the verdict."""
    try:
        if not state["experiment"].get("dry"):
            _close(state)
    finally:  # not before: until here files for others are written, as the user's own umask lets them read
        os.umask(0o077)  # the process ends soon: what it writes yet is Chaos Toolkit's journal


def _close(state: Journal) -> None:
    status = state["status"]
    if status == "completed":
        state["status"] = "failed"
    outcome, problem = SESSION.close(_problem_in(state))
    if outcome is not None:
        told: Any = reported(outcome)
        state["kube-ordeal"] = _shown(scrubbed(told))
        if not outcome.passed:  # else it stays: an experiment may have a hypothesis of its own beside
            state["deviated"] = outcome.verdict is not Verdict.UNKNOWN
        say(f"kube-ordeal: {outcome.verdict}: {outcome.why}")
    if problem:
        logger.error("kube-ordeal: %s", problem)
    for each in ("run", "rollbacks", "steady_states"):  # with the tracebacks of what activities raised
        state[each] = _shown(scrubbed(state[each]))
    known = outcome is None or outcome.verdict is not Verdict.UNKNOWN
    if status == "completed" and known and not problem:
        state["status"] = "completed"


def _shown(value: Any) -> Any:
    """Texts that act on nobody, and that Chaos Toolkit can write: half of a character would end its journal."""
    if isinstance(value, str):
        return visible(value, keep="\n\t")
    if isinstance(value, dict):
        return {_shown(name): _shown(each) for name, each in value.items()}
    return [_shown(each) for each in value] if isinstance(value, list) else value


def _problem_in(journal: Journal) -> str:
    """The first activity that did not succeed; a run that broke off; empty where there is neither."""
    runs = [*(journal["run"] or []), *(journal["rollbacks"] or [])]
    failures = [_failure(run["activity"], run) for run in runs if run.get("status") != "succeeded"]
    before = journal["steady_states"]["before"]
    if not failures and before is not None and not before["steady_state_met"]:
        return "the hypothesis was not met before the method, so nothing was done"
    if not failures and journal["status"] not in {"completed", "failed"}:
        return f"Chaos Toolkit says that the experiment {journal['status']}"
    return failures[0] if failures else ""


def _failure(activity: Activity, run: Activity) -> str:
    exception = run.get("exception") or ["it did not end"]
    return f"{activity.get('name')}: {str(exception[-1]).strip()}"
