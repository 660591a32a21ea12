"""A real bundle, and what somebody with an editor can make of it: digests and seal always fit."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from chaos.basics.untrusted import RESULTS as ANY_FILE
from chaos.judge import load_all
from chaos.judge.base import Finding, Invariant, Recipe, Verdict, judge, made_again
from chaos.judge.catalogue import find
from chaos.judge.pods import nothing_terminated
from chaos.record.evidence import Piece
from chaos.record.history import History
from chaos.report import archive, product
from chaos.report.bundle import MANIFEST, RESULTS, digest, pack
from chaos.results.results import Outcome, Results, finding_as_json
from chaos.results.saved import load
from chaos.run.promised import beginning
from chaos.run.verdict import verdict_of
from chaos.subjects.volumes.promises import at_most_one_writer, no_stale_lock, running_again, same_data
from chaos.subjects.watch_cache.promises import watchers_see
from chaos.subjects.zones.promises import tolerations_waited_out

RECORDINGS = Path(__file__).parents[1] / "recordings" / "run"
SMALL = "suites/control_plane/test_mass_termination_simulated.py::test_a_small_cluster_keeps_its_pods"
RESTORED = "suites/control_plane/test_stale_watch_cache.py::test_watchers_see_what_a_restored_snapshot_holds"
UPDATE = "suites/storage/test_rwo_volume_handover.py::test_a_volume_follows_an_update"


@dataclass(frozen=True)
class Recorded:
    """A replay of which there is a recording: what its suite judges it by."""

    test: str
    incident: str
    replay: str
    cluster: str
    control: str
    by: tuple[Invariant, ...]

    @property
    def nodeid(self) -> str:
        return f"{self.test}[{self.cluster}-{f'control:{self.control}' if self.control else 'hardened'}]"


def _recorded() -> dict[str, Recorded]:
    kept = (nothing_terminated("web", fault="stop-heartbeats", tolerated_s=4),)
    stayed = tolerations_waited_out("brief", tolerated_s=10, fault="stop-heartbeats")
    seen = (watchers_see("restore-snapshot", within_s=5.0),)
    writers = ("stateful-set",)
    handed = (
        at_most_one_writer(writers),
        same_data(writers),
        running_again(writers, fault="update-elsewhere", within_s=45.0),
        no_stale_lock(writers),
    )
    return {
        "small-hardened": Recorded(SMALL, "mass-termination", "small", "simulated", "", (*kept, stayed)),
        "small-default-tolerations": Recorded(
            SMALL, "mass-termination", "small", "simulated", "default-tolerations", kept
        ),
        "restored-hardened": Recorded(RESTORED, "stale-watch-cache", "restored", "simulated", "", seen),
        "restored-no-bump": Recorded(RESTORED, "stale-watch-cache", "restored", "simulated", "no-bump", seen),
        "update-hardened": Recorded(UPDATE, "rwo-volume-handover", "one update", "kind", "", handed),
        "update-lock-not-released": Recorded(
            UPDATE, "rwo-volume-handover", "one update", "kind", "lock-not-released", handed
        ),
    }


RECORDED = _recorded()


def made(root: Path, instead: Mapping[str, str] | None = None) -> Path:
    """The bundle of a run of all recordings, judged as when they are recorded. `instead`: the recording that takes
    the place of another one, as where a hardened replay did not hold.
    """
    results = Results(root, "20260101-000000-abcd", {"profile": "smoke"})
    for name, of in RECORDED.items():
        folder = results.directory / name
        path = folder / "history" / "0.jsonl"
        path.parent.mkdir(parents=True)
        _record(path, RECORDINGS / f"{(instead or {}).get(name, name)}.jsonl", of)
        log = folder / "evidence" / "kubelet.log"
        log.parent.mkdir()
        log.write_text("a line of evidence\n")
        history = History.load(path)
        findings = [replace(judge(invariant, history), history=path) for invariant in of.by]
        verdict, passed, why = verdict_of(find(of.incident), of.control or None, findings, "", "1.34.4")
        results.add(
            Outcome(
                id=of.incident,
                variant="control" if of.control else "hardened",
                control=of.control,
                test=of.nodeid,
                cluster=of.cluster,
                kubernetes="1.34.4",
                profile="smoke",
                verdict=verdict,
                passed=passed,
                why=why,
                duration_s=61.4,
                replay=of.replay,
                findings=findings,
                facts={"pods": 6},
                tables={"pods": [{"name": "web", "pods": 6}]},
                histories=[path],
                evidence=[Piece("log", log)],
            )
        )
    results.end()
    target = root / "bundle.zip"
    pack(load(root, str(results.directory)), target, product.template())
    return target


def _record(path: Path, recording: Path, of: Recorded) -> None:
    """A real recording, as that of this replay: it begins as `Lab.record` lets each begin."""
    records = History.load(recording)

    history = History(path, began=0.0, began_wall=records.began_wall)
    history.add(beginning(of.incident, of.replay, control=of.control, cluster=of.cluster, profile="smoke"))
    for record in records:
        history.add(record)
    history.close()


class Forged:
    """A bundle in the hands of somebody who knows the tool: all of it can be changed, and is made to fit again."""

    def __init__(self, bundle: Path, seed: int = 0) -> None:
        load_all()
        with archive.opened(bundle) as opened:
            self.files = {name: opened.read(name, ANY_FILE) for name in opened.names}
        self.manifest: dict[str, Any] = json.loads(self.files.pop(MANIFEST))
        self.results: dict[str, Any] = json.loads(self.files.pop(RESULTS))
        self.random = random.Random(seed)
        self.raw = ""  # the results as they are to stand in the bundle, where JSON itself is what is edited

    @property
    def replays(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.results["incidents"]
        return found

    def replay(self, name: str) -> dict[str, Any]:
        """That of a recording."""
        return next(each for each in self.replays if each["test"] == RECORDED[name].nodeid)

    def any_replay(self, *, hardened: bool | None = None, findings: int = 1) -> dict[str, Any]:
        """One of them, at random, with at least so many findings."""
        fits = [r for r in self.replays if len(r["invariants"]) >= findings]
        return self.random.choice([r for r in fits if hardened is None or (r["variant"] == "hardened") is hardened])

    def any_finding(self, replay: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.random.choice(replay["invariants"])
        return found

    def judge(self, finding: dict[str, Any]) -> None:
        """Judge a finding again by what it says now, so that all that it says of its recording is true."""
        invariant = made_again(Recipe(finding["promise"], finding["arguments"]))
        again = finding_as_json(judge(invariant, self.history(finding["history"])), finding["history"])
        finding.clear()
        finding.update(json.loads(json.dumps(again)))

    def history(self, name: str) -> History:
        with NamedTemporaryFile(suffix=".jsonl") as file:
            file.write(self.files[name])
            file.flush()
            return History.load(Path(file.name))

    def fit(self, replay: dict[str, Any]) -> None:
        """Make the verdict, whether it passed and the sentence of what its findings say."""
        findings = [
            Finding(f["name"], Verdict(f["verdict"]), f["sentence"], f.get("reason", ""), f["figures"])
            for f in replay["invariants"]
        ]
        verdict, replay["passed"], replay["why"] = verdict_of(
            find(replay["id"]), replay.get("control") or None, findings, "", replay["kubernetes"]
        )
        replay["verdict"] = str(verdict)

    def sealed(self, target: Path) -> Path:
        """The bundle, with digests and a seal that fit."""
        files = {**self.files, RESULTS: (self.raw or json.dumps(self.results)).encode()}
        listed = {name: {"sha256": digest(content), "size_bytes": len(content)} for name, content in files.items()}
        manifest = {**self.manifest, "files": listed, "run": self.results["run"]}
        archive.write(target, {**files, MANIFEST: json.dumps(manifest).encode()})
        return target
