"""The published schema of a results file, and what it can't say: whether the verdicts fit what was found."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaos.errors import OrdealError
from chaos.judge.catalogue import KnownBug
from chaos.results.shape import SchemaShape

SCHEMA = 4
READABLE = (3, SCHEMA)  # 3 had no plan, no left_out, and no postmortem of an incident: nothing has another meaning
SCHEMA_PATH = Path(__file__).with_name("results.schema.json")


def check(content: object, where: Path) -> None:
    """Raises OrdealError where a results file has another version or another shape, or contradicts itself."""
    if not isinstance(content, dict) or "schema" not in content:
        raise OrdealError(f"the results at {where} are not a kube-ordeal run's: they name no schema")
    if content["schema"] not in READABLE:
        raise OrdealError(
            f"the results at {where} have schema {content['schema']!r}, this version reads "
            f"{' and '.join(map(str, READABLE))}: "
            "read them with the version of kube-ordeal that wrote them"
        )
    wrong = SchemaShape(json.loads(SCHEMA_PATH.read_text())).misfit(content)
    if wrong is not None:
        at = wrong.at or "the top"
        raise OrdealError(f"the results at {where} are damaged at {at}: {_short(wrong.how)}; were they edited?")
    catalogue = {each["id"]: each for each in content["catalogue"]}
    for number, entry in enumerate(content["incidents"]):
        contradiction = _contradiction(entry, catalogue.get(entry["id"], {}))
        if contradiction:
            raise OrdealError(
                f"the results at {where} contradict themselves at incidents[{number}] ({entry['test']}): "
                f"{contradiction}; were they edited?"
            )


def _contradiction(entry: Mapping[str, Any], incident: Mapping[str, Any]) -> str:
    """How a replay's verdict contradicts its findings; empty where it does not."""
    control = entry.get("control", "")
    if (entry["variant"] == "control") != bool(control):
        return f"its variant is {entry['variant']} and its control {control!r}"
    if control:
        return _unproven(entry, control, incident) if entry["passed"] else ""
    if entry["passed"] != (entry["verdict"] == "held"):
        return f"it is {entry['verdict']}, and passed is {entry['passed']}"
    worse = [f"{f['name']} is {f['verdict']}" for f in entry["invariants"] if f["verdict"] != "held"]
    if entry["verdict"] == "held" and (worse or not entry["invariants"]):
        return f"it held, but {', '.join(worse) or 'nothing was judged'}"
    if entry["verdict"] == "violated" and all(f["verdict"] != "violated" for f in entry["invariants"]):
        return "it is violated, but no invariant is"
    return ""


def _unproven(entry: Mapping[str, Any], control: str, incident: Mapping[str, Any]) -> str:
    """Why a control can't have passed; empty where it can."""
    named = next((c for c in incident.get("controls", ()) if c["id"] == control), None)
    if named is not None and named.get("shipped") and not _has_bug(named["shipped"], entry["kubernetes"]):
        return "" if entry["verdict"] == "held" else f"{control} passed, but {entry['kubernetes']} has no such bug"
    if entry["verdict"] != "violated":
        return f"the control {control} passed, but its verdict is {entry['verdict']}"
    if named is None:
        return f"the control {control} passed, but the catalogue in the file has no such control"
    wanted = (named["breaks"], "violated", named["because"])
    if wanted not in {(f["name"], f["verdict"], f.get("reason", "")) for f in entry["invariants"]}:
        return f"the control {control} passed, but {named['breaks']} was not violated because of {named['because']}"
    return ""


def _has_bug(shipped: Mapping[str, Any], version: str) -> bool:
    try:
        return KnownBug(shipped["issue"], shipped["since"], tuple(shipped["mended_in"])).affects(version)
    except OrdealError:  # no version that upstream has: then it can't have passed without the bug
        return True


def _short(message: str) -> str:
    return message if len(message) <= 200 else f"{message[:120]} ... {message[-70:]}"
