"""Does `chaos run` say of every experiment, in each of its variants, what pytest says of the same replay?

python -m tests.bench.experiments RESULTS [EXPERIMENT[:CONTROL]...]

RESULTS is the results.json of a run of `pytest suites/`. A cluster that is made is kept for the next experiment of its
shape. What each says goes below `chaos-run/` in the current folder.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from chaos.clusters.base import KIND, SIMULATED
from chaos.run import suites
from chaos.toolkit import experiments_dir
from chaos.toolkit.experiments import OWN
from tests.bench.memory import MemoryPeak

NAME = "experiments"
TIMEOUT_S = 3600.0


def cases() -> list[tuple[str, str, str]]:
    """Each experiment, a control of its replay or "", and the kind of cluster."""
    found = []
    for path in sorted(each for each in experiments_dir().glob("*.yaml") if each.stem != OWN):
        asked = yaml.safe_load(path.read_text())["method"][0]["provider"]["arguments"]
        replay = suites.find(asked["incident"], asked.get("variant"), "").replay
        if not {KIND, SIMULATED} & {*replay.on}:  # it takes a cluster of the user's
            continue
        kind = SIMULATED if SIMULATED in replay.on else KIND
        found += [(path.stem, control, kind) for control in ("", *replay.controls)]
    return found


def main(results: str, chosen: list[str]) -> int:
    """How many experiments did not say what pytest says; 2 where one that was chosen is not there."""
    known = {f"{name}:{control}" if control else name: (name, control, kind) for name, control, kind in cases()}
    if unknown := [each for each in chosen if each not in known]:
        print(f"there is no {unknown[0]}; there are: {', '.join(known)}")
        return 2
    by_pytest = {each["test"]: each for each in json.loads(Path(results).read_text())["incidents"]}
    wrong = 0
    for each in chosen or known:
        began = time.monotonic()
        with MemoryPeak(prefix=NAME) as memory:
            problem = differs(run(*known[each]), by_pytest)
        wrong += bool(problem)
        print(f"{each}: {problem or 'as pytest says'}; {time.monotonic() - began:.0f} s; memory {memory}", flush=True)
    return wrong


def run(name: str, control: str, kind: str) -> Path:
    """Run it as a user does. Returns the folder of what came of it."""
    folder = (Path("chaos-run") / f"{name}-{control or 'hardened'}").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    own = {"CONTROL": control, "CLUSTER": kind, "CLUSTER_NAME": NAME, "KEEP_CLUSTER": "true", "CONFORM": "none"}
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("ORDEAL_")}
    chaos = [str(Path(sys.executable).with_name("chaos")), "--no-version-check", "run"]
    with (folder / "log").open("w") as log:
        subprocess.run(
            [*chaos, str(experiments_dir() / f"{name}.yaml")],
            cwd=folder,
            env={**inherited, **{f"ORDEAL_{key}": value for key, value in own.items()}},
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
            check=False,
        )
    return folder


def differs(folder: Path, by_pytest: dict[str, dict[str, Any]]) -> str:
    """What is not as pytest says; empty where all is."""
    path = folder / "results" / "latest" / "results.json"
    ours = json.loads(path.read_text())["incidents"] if path.is_file() else []
    theirs = by_pytest.get(ours[0]["test"]) if ours else None
    if theirs is None:
        return f"{'pytest has no such replay' if ours else 'there is no verdict'}; see {folder / 'log'}"
    said, wanted = (
        (each["verdict"], each["passed"], {(i["name"], i["verdict"], i.get("reason")) for i in each["invariants"]})
        for each in (ours[0], theirs)
    )
    return "" if said == wanted else f"pytest says {wanted}, chaos run {said}: {ours[0]['why']}"


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
