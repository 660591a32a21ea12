"""The experiments of the catalogue: a file for each replay, whose one step is that replay. Written by

python -m chaos.toolkit.experiments
"""

import inspect
import json
import textwrap
from pathlib import Path
from string import Template

from chaos.clusters.base import EXISTING, KIND, SIMULATED
from chaos.run import suites
from chaos.run.suites import Suite
from chaos.toolkit import experiments_dir

COMMAND = "make experiments"
OWN = "own-experiment"  # written by hand: how one looks that replays nothing
# What a file is called where its incident and the replay's variant do not say it. One replay may have two.
NAMES = {
    "apiserver-node-loss": ("apiserver-node-loss", "same address"),
    "bad-link-found": ("bad-link", "one pair is bad"),
    "bad-link-redis": ("bad-link", "under a Redis cluster"),
    "hostname-change": ("hostname-change", "name not pinned"),
    "hostname-change-pinned": ("hostname-change", "pinned name"),
    "imagefs-full-no-minimum-reclaim": ("imagefs-full", "imagefs, no minimum reclaim"),
    "imagefs-full": ("imagefs-full", "imagefs, the post-mortem's setting"),
    "mass-termination-zones": ("mass-termination", "zones and rates"),
    "nofile-exhausted-each": ("nofile-exhausted", "each daemon at its limit"),
    "rwo-volume-handover": ("rwo-volume-handover", "drain and update"),
    "rwo-volume-handover-drain": ("rwo-volume-handover", "drain and update"),
    "rwo-volume-handover-killed": ("rwo-volume-handover", "node killed"),
    "stale-watch-cache": ("stale-watch-cache", "restored"),
    "stale-watch-cache-edited": ("stale-watch-cache", "edited in place"),
}
# The incidents that by default are replayed on the cluster that the user has. The others ask for one of their own.
ON_EXISTING = {
    "apiserver-node-loss",
    "bad-link",
    "hostname-change",
    "kmem-leak",
    "mass-termination",
    "node-preflight",
    "nofile-exhausted",
    "own-upgrade",
    "still-conforms",
    "storage-driver",
}
FILE = Template("""\
# Written by `$command`. How it is run: docs/chaos-toolkit.md. Its controls: $controls.
title: $title
description: >-
$description
configuration: {cluster: {type: env, key: ORDEAL_CLUSTER, default: $cluster}}
runtime: {hypothesis: {strategy: after-method-only}, rollbacks: {strategy: always}}
controls: [{name: guard, provider: {type: python, module: chaos.toolkit.guard}}]
steady-state-hypothesis:
  title: The verdict is what it must be
  probes: [{type: probe, name: verdict, tolerance: {type: regex, target: outcome, pattern: ^passed$$},
            provider: {type: python, module: chaos.toolkit.probes, func: verdict}}]
method: [{type: action, name: replay, provider: {type: python, module: chaos.toolkit.actions, func: replay,
          arguments: $arguments}}]
rollbacks: [{type: action, name: clean-up, provider: {type: python, module: chaos.toolkit.actions, func: clean_up}}]
""")


def name_of(suite: Suite) -> str:
    """What the file of a replay is called, without its ending."""
    replay = (suite.replay.incident.id, suite.replay.variant)
    words = "".join(c if c.isalnum() else " " for c in f"{replay[0]} {replay[1]}".lower()).split()
    return next((name for name, each in NAMES.items() if each == replay), "-".join(words))


def replayed() -> dict[str, Suite]:
    """Which suite each file replays, by its name."""
    there = suites.suites()
    known = {(each.replay.incident.id, each.replay.variant): each for each in there}
    named = {name_of(each): each for each in there} | {name: known[replay] for name, replay in NAMES.items()}
    return {f"{name}.yaml": each for name, each in sorted(named.items())}


def made() -> dict[str, str]:
    """Each file as it must be, by its name."""
    return {name: _text(each) for name, each in replayed().items()}


def stale(folder: Path) -> str:
    """Which files of the folder are not as they must be, and what to do; empty where all are."""
    wanted = made()
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.yaml") if path.stem != OWN}
    wrong = sorted(name for name in {*wanted, *there} if wanted.get(name) != there.get(name))
    return (
        f"{', '.join(wrong)} in {folder}: not as the catalogue and the suites have it; run `{COMMAND}`" if wrong else ""
    )


def write(folder: Path) -> None:
    """Write every file, and remove those of replays that there are no more."""
    wanted = made()
    for path in folder.glob("*.yaml"):
        if path.stem != OWN and path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")


def _text(suite: Suite) -> str:
    replay = suite.replay
    incident, variant = replay.incident, replay.variant
    default = EXISTING if incident.id in ON_EXISTING else KIND
    said = " ".join(inspect.cleandoc(suite.function.__doc__ or incident.claim).split())
    return FILE.substitute(
        command=COMMAND,
        controls=", ".join(replay.controls) or "none",
        title=json.dumps(f"{incident.title} ({variant})" if variant else incident.title, ensure_ascii=False),
        description=textwrap.fill(said, 118, initial_indent="  ", subsequent_indent="  "),
        cluster=SIMULATED if SIMULATED in replay.on else default,
        # Without a variant a control decides which of the incident's replays it is.
        arguments=json.dumps({"incident": incident.id, **({"variant": variant} if variant else {})}),
    )


if __name__ == "__main__":
    write(experiments_dir())
