"""Does `chaos run` say of the stateful incidents, of the nodes' and of preflight's what pytest says?

python -m tests.bench.experiments RESULTS [EXPERIMENT[:CONTROL]...]

RESULTS is the results.json of a run of `pytest suites/`. Each experiment is run hardened and in its controls. A kind
cluster is made, and kept for the next call, so that the experiments can be run by and by; those of pleg-churn have one
of their own. What each says goes below `chaos-run/` in the current folder.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.hosts.places import state_dir
from chaos.judge.catalogue import find
from chaos.toolkit import experiments_dir
from tests.bench.memory import MemoryPeak

NAME = "experiments"
TIMEOUT_S = 900.0
BY_PYTEST_ALONE = "still-conforms"  # upstream's specs, which its --ordeal-conform runs after a replay


@dataclass(frozen=True, slots=True)
class Case:
    """An experiment in a variant, and the replay of the suites that it is compared with.

    `also`: a further replay of the incident, whose invariants the experiment judges as well.
    """

    experiment: str
    control: str
    incident: str
    replay: str
    also: str | None = None

    def __str__(self) -> str:
        return f"{self.experiment}:{self.control}" if self.control else self.experiment


def _cases(experiment: str, incident: str, replay: str, *controls: str, also: str | None = None) -> list[Case]:
    return [Case(experiment, control, incident, replay, also) for control in ("", *controls)]


RWO, DRAIN_AND_UPDATE = "rwo-volume-handover", "drain and update"
CASES = [
    *_cases("mysql-clock", "mysql-clock", "", "clock-probe", also="preflight"),
    Case("mysql-clock", "named-version", "mysql-clock", "preflight", also=""),
    *_cases("mysql-binlog", "mysql-binlog", "", "ephemeral", "full-volume", "rows-dropped"),
    *_cases("rwo-volume-handover", RWO, DRAIN_AND_UPDATE, "lock-not-released", "no-fence"),
    *_cases("rwo-volume-handover-drain", RWO, DRAIN_AND_UPDATE),
    *_cases("rwo-volume-handover-killed", RWO, "node killed"),
    *_cases("bad-link", "bad-link", "", "bad-pair"),
    *_cases("bad-link-found", "bad-link", "one pair is bad", "loose-limit"),
    *_cases("bad-link-redis", "bad-link", "under a Redis cluster", "unconfirmed"),
    *_cases("node-preflight", "node-preflight", "", "low-handle-limit"),
    *_cases("kmem-leak", "kmem-leak", "", "leaking"),
    *_cases("storage-driver", "storage-driver", "", "leftovers"),
    *_cases("nofile-exhausted", "nofile-exhausted", "", "limit-1024"),
    *_cases(
        "nofile-exhausted-each",
        "nofile-exhausted",
        "each daemon at its limit",
        "deaf-kube-proxy",
        "dns-without-handles",
    ),
    *_cases("pleg-churn", "pleg-churn", "", "runtime-stalled"),
    Case("pleg-churn", "blocking-send", "pleg-churn", "scaled kubelet", also=""),
]
# What runs on any kind cluster: it takes the one that was kept.
ON_ANY = {"bad-link", "node-preflight", "kmem-leak", "storage-driver", "nofile-exhausted"}


def main(results: str, chosen: list[str]) -> int:
    """How many experiments did not say what pytest says."""
    known = {str(case): case for case in CASES}
    unknown = [name for name in chosen if name not in known]
    if unknown:
        print(f"there is no {unknown[0]}; there are: {', '.join(known)}")
        return 2
    said_by_pytest = json.loads(Path(results).read_text())["incidents"]
    wrong = 0
    for name in chosen or known:
        case = known[name]
        began = time.monotonic()
        with MemoryPeak(prefix=NAME) as memory:
            problem, verdict = run(case, said_by_pytest)
        wrong += bool(problem)
        print(
            f"{name}: {verdict}, {problem or 'as pytest says'}; {time.monotonic() - began:.0f} s; memory {memory}",
            flush=True,
        )
    return wrong


def run(case: Case, said_by_pytest: list[dict[str, Any]]) -> tuple[str, str]:
    """Run it as a user does. What is not as pytest says, empty where all is; and the verdict."""
    folder = (Path("chaos-run") / str(case).replace(":", "-")).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    journal_path = folder / "journal.json"
    journal_path.unlink(missing_ok=True)
    chaos = Path(sys.executable).with_name("chaos")
    with (folder / "log").open("w") as log:
        done = subprocess.run(
            [str(chaos), "--no-version-check", "run", str(experiments_dir() / f"{case.experiment}.yaml")],
            cwd=folder,
            env=environment(case, folder),
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
            check=False,
        )
    if not journal_path.is_file():
        return f"no journal was written; its log is {folder / 'log'}", "no verdict"
    journal = json.loads(journal_path.read_text())
    return compare(case, journal, done.returncode, said_by_pytest), journal.get("kube-ordeal", {}).get("verdict", "")


def environment(case: Case, folder: Path) -> dict[str, str]:
    """What a user would export. What runs on any cluster meets the kept one as if somebody else had made it."""
    own = {"ORDEAL_CONTROL": case.control, "ORDEAL_RESULTS": str(folder / "results")}
    kept = sorted((state_dir() / "clusters").glob(f"{NAME}-kind-*/kubeconfig"))
    if case.incident in ON_ANY and kept:
        own |= {"ORDEAL_CLUSTER": "existing", "KUBECONFIG": str(kept[0])}
    else:
        own |= {"ORDEAL_CLUSTER": "kind", "ORDEAL_CLUSTER_NAME": NAME, "ORDEAL_KEEP_CLUSTER": "true"}
    return {k: v for k, v in os.environ.items() if not k.startswith("ORDEAL_")} | own


def compare(case: Case, journal: dict[str, Any], code: int, said_by_pytest: list[dict[str, Any]]) -> str:
    """What is not as pytest says; empty where all is."""
    ours = journal.get("kube-ordeal")
    theirs = [
        i
        for i in said_by_pytest
        if (i["id"], i.get("control") or "", i.get("replay") or "") == (case.incident, case.control, case.replay)
    ]
    if ours is None or not theirs:
        return "the journal has no verdict" if ours is None else "pytest has no such replay in these results"
    problems = []
    expected = (theirs[-1]["verdict"], theirs[-1]["passed"])
    if (ours["verdict"], ours["passed"]) != expected:
        problems.append(f"pytest says {expected[0]}, passed {expected[1]}; here: {ours['why']}")
    if (code, journal["deviated"]) != ((1, True) if case.control else (0, False)):
        problems.append(f"the exit code is {code} and deviated is {journal['deviated']}")
    reasons = {f["invariant"]: f["reason"] for f in ours["findings"]}
    judged = {i["name"] for i in theirs[-1]["invariants"]}
    judged |= {
        i["name"]
        for other in said_by_pytest
        if other["id"] == case.incident and (other.get("replay") or "") == case.also and not other.get("control")
        for i in other["invariants"]
    }
    missing = set(reasons) ^ (judged - {BY_PYTEST_ALONE})
    if missing:
        problems.append(f"not judged by both: {', '.join(sorted(missing))}")
    if case.control:
        wanted = find(case.incident).control(case.control)
        if reasons.get(wanted.breaks) != wanted.because:
            problems.append(f"{wanted.breaks} has the reason {reasons.get(wanted.breaks)}, not {wanted.because}")
    return "; ".join(problems)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
