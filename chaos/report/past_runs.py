"""The history of runs for its readers: tables for a terminal, JSON for programs."""

from collections.abc import Iterable, Sequence

from rich.table import Table

from chaos.report.table import cell
from chaos.results.figures import amount
from chaos.results.key import Key
from chaos.results.past import PastRun
from chaos.results.trend import HELD, UNKNOWN, Circumstances, Trend, Verdicts, is_greatest, middle, percentile

VIOLATED = "violated"


def runs_table(runs: Iterable[PastRun]) -> Table:
    """A row a run."""
    table = Table("run", "started", "Kubernetes", "machine", "replays", "passed", "min", "")
    for run in runs:
        table.add_row(
            cell(run.id),
            cell(run.started[:16].replace("T", " ")),
            cell(", ".join(run.versions)),
            cell(f"{run.cpus} cpus, {run.memory}, {run.architecture}"),
            str(len(run.replays)),
            str(sum(each.passed for each in run.replays)),
            f"{run.duration_s / 60:.0f}",
            "" if run.ended else "was killed",
        )
    return table


def verdicts_table(found: Iterable[Verdicts]) -> Table:
    """A row a replay: how often it came out how."""
    table = Table("replay", "n", "held", "violated", "unknown", "passed")
    for each in found:
        counted = [str(each.times.get(verdict, 0)) for verdict in (HELD, VIOLATED)]
        unknown = f"{each.times.get(UNKNOWN, 0)} ({each.unknown_part:.0%})"
        table.add_row(cell(str(each.key)), str(each.replays), *counted, unknown, str(each.passed))
    return table


def figures_table(found: Iterable[Trend]) -> Table:
    """A row a figure. `n` values are known; of so many replays the invariant came out unknown."""
    table = Table("figure", "n", "median", "P95", "P99", "least", "most", "last", "unknown")
    for each in found:
        values, told = each.values, [""] * 6
        if values:
            of = (middle(values), percentile(values, 95), percentile(values, 99), min(values), max(values), values[-1])
            told = [amount(value, each.key.unit) for value in of]
        name = f"{each.key.of}: {each.key.invariant} {each.key.figure}"
        table.add_row(cell(name), str(len(values)), *told, f"{each.unknown} of {len(each.taken)}")
    return table


def run_json(run: PastRun) -> dict[str, object]:
    """A run without its replays."""
    return {
        "run": run.id,
        "started": run.started,
        **({"ended": run.ended} if run.ended else {}),
        "duration_s": run.duration_s,
        "kubernetes": list(run.versions),
        "machine": {
            "cpus": run.cpus,
            "memory": run.memory,
            "kernel": run.kernel,
            "architecture": run.architecture,
        },
        "tool": run.tool,
        "replays": len(run.replays),
        "passed": sum(each.passed for each in run.replays),
        "left_out": run.left_out,
        "specs_broken": run.specs_broken,
        "green": run.green,
        "digest": run.digest,
    }


def verdicts_json(found: Verdicts) -> dict[str, object]:
    """How often a replay came out how."""
    return {
        **_key(found.key),
        **_conditions(found.conditions),
        "replays": found.replays,
        "verdicts": dict(found.times),
        "passed": found.passed,
        "unknown_part": found.unknown_part,
    }


def trend_json(found: Trend) -> dict[str, object]:
    """A figure with every value. The percentiles are by nearest rank; one that is but the greatest value says so."""
    values = found.values
    return {
        **_key(found.key.of),
        "invariant": found.key.invariant,
        "figure": found.key.figure,
        "unit": found.key.unit.name if found.key.unit is not None else "",
        **_conditions(found.conditions),
        "memory": list(found.memory),
        "replays": len(found.taken),
        "unknown": found.unknown,
        "n": len(values),
        **(_told(values) if values else {}),
        "values": [
            {"run": each.run, "started": each.started, "value": each.value}
            for each in found.taken
            if each.value is not None
        ],
    }


def _told(values: Sequence[float]) -> dict[str, object]:
    return {
        "median": middle(values),
        "p95": percentile(values, 95),
        "p95_is_greatest": is_greatest(len(values), 95),
        "p99": percentile(values, 99),
        "p99_is_greatest": is_greatest(len(values), 99),
        "least": min(values),
        "most": max(values),
    }


def _key(key: Key) -> dict[str, str]:
    fields = {"incident": key.incident, "replay": key.replay, "cluster": key.cluster, "control": key.control}
    return {name: value for name, value in fields.items() if value}


def _conditions(at: Circumstances) -> dict[str, str]:
    return {"kubernetes": at.kubernetes, "image": at.image, "profile": at.profile, "cpus": at.cpus}
