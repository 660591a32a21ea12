"""False claims about real recordings, made by somebody who lets digests and seal fit: none of them is verified."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from chaos.errors import OrdealError
from chaos.judge.catalogue import incidents
from chaos.record.given import LimitGiven
from chaos.record.lines import to_line
from chaos.report.verify import verify
from tests.report.forging import RECORDED, SMALL, Forged, made

SEEDS = 50


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hardened a replay did not hold: two of its four promises are violated, and a pod was terminated in another."""
    instead = {"update-hardened": "update-lock-not-released", "small-hardened": "small-default-tolerations"}
    return made(tmp_path_factory.mktemp("broken"), instead)


def is_verified(path: Path) -> bool:
    """What can't be read is not verified either."""
    try:
        return verify(path).verified
    except OrdealError:
        return False


def test_the_real_bundle_is_verified(bundle: Path, tmp_path: Path) -> None:
    found = verify(bundle)
    assert found.verified, found
    assert (found.replays, found.passed, found.judged) == (6, 6, 13)
    assert is_verified(Forged(bundle).sealed(tmp_path / "again.zip"))


# --- the five ways


def without_the_violated_finding(forged: Forged) -> None:
    replay = forged.replay("update-hardened")
    assert replay["verdict"] == "violated"
    replay["invariants"] = [f for f in replay["invariants"] if f["verdict"] == "held"]
    forged.fit(replay)
    without(forged, "small-hardened")


def with_a_window_of_one_second(forged: Forged) -> None:
    replay = forged.replay("small-hardened")
    finding, unknown = replay["invariants"]
    assert (finding["verdict"], unknown["verdict"]) == ("violated", "unknown")
    replay["invariants"] = [finding]
    finding["arguments"] = {"workload": "web", "window": {"start": 0.0, "end": 1.0}}
    forged.judge(finding)
    forged.fit(replay)
    assert replay["passed"]
    without(forged, "update-hardened")


def with_a_reason_for_not_judging(forged: Forged) -> None:
    for name in ("update-hardened", "small-hardened"):
        replay = forged.replay(name)
        for finding in replay["invariants"]:
            for key in ("promise", "arguments", "history", "reason"):
                finding.pop(key, None)
            finding.update(verdict="held", sentence="it was kept", proof=[])
        forged.fit(replay)
    forged.manifest["not_judged_again"] = "judged by hand"


def with_nothing_judged(forged: Forged) -> None:
    forged.files = {name: content for name, content in forged.files.items() if name == "PRODUCT.yaml"}
    forged.results.update(incidents=[], catalogue=[], mutants=[])


def with_another_page(forged: Forged) -> None:
    without(forged, "update-hardened")
    without(forged, "small-hardened")
    forged.files["report.html"] = b"<h1>safe</h1>"
    forged.files["junit.xml"] = b'<testsuites tests="1000" failures="0" errors="0"/>'


def without(forged: Forged, name: str) -> None:
    """The replay and its recording, with its control: nothing else is false in it then."""
    test = RECORDED[name].test
    gone = [r for r in forged.replays if r["test"].startswith(f"{test}[")]
    forged.results["incidents"] = [r for r in forged.replays if r not in gone]
    paths = [p for r in gone for p in (*r["histories"], *(e["path"] for e in r["evidence"]))]
    forged.files = {name: content for name, content in forged.files.items() if name not in paths}


WAYS = (
    without_the_violated_finding,
    with_a_window_of_one_second,
    with_a_reason_for_not_judging,
    with_nothing_judged,
    with_another_page,
)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_none_of_the_five_ways_is_verified(way: Callable[[Forged], None], broken: Path, tmp_path: Path) -> None:
    forged = Forged(broken)
    way(forged)
    assert not is_verified(forged.sealed(tmp_path / "forged.zip"))


# --- mutations


def another_verdict_of_a_finding(forged: Forged) -> None:
    replay = forged.any_replay()
    finding = forged.any_finding(replay)
    finding["verdict"] = "violated" if finding["verdict"] == "held" else "held"
    forged.fit(replay)


def another_verdict(forged: Forged) -> None:
    replay = forged.any_replay()
    replay["verdict"] = forged.random.choice(sorted({"held", "violated", "unknown"} - {replay["verdict"]}))


def another_passed(forged: Forged) -> None:
    replay = forged.any_replay(hardened=False)
    replay["passed"] = not replay["passed"]


def another_why(forged: Forged) -> None:
    forged.any_replay()["why"] = "all is well"


def a_longer_why(forged: Forged) -> None:
    said = ["; and so it is on every cluster", "; control not run: no-bump (it takes too long)", " "]
    forged.any_replay()["why"] += forged.random.choice(said)


def unknown_by_its_own_words(forged: Forged) -> None:
    replay = forged.any_replay()
    replay.update(verdict="unknown", passed=False, why="the machine was busy")


def another_sentence(forged: Forged) -> None:
    replay = forged.any_replay()
    finding = forged.any_finding(replay)
    finding["sentence"] += ", and none was late"
    forged.fit(replay)


def another_figure(forged: Forged) -> None:
    finding = forged.any_finding(forged.any_replay())
    finding["figures"] = {**finding["figures"], forged.random.choice(["pods", "longest_outage_ms"]): -1}


def another_name(forged: Forged) -> None:
    replay = forged.any_replay(hardened=True)
    forged.any_finding(replay)["name"] = "nothing-was-lost"
    forged.fit(replay)


def another_reason(forged: Forged) -> None:
    finding = next(f for f in forged.any_replay(hardened=False)["invariants"] if f["verdict"] == "violated")
    finding["reason"] = "bad-luck"


def another_proof(forged: Forged) -> None:
    finding = next(f for f in forged.any_replay(hardened=False)["invariants"] if f["verdict"] == "violated")
    finding["proof"] = finding["proof"][1:] if finding["proof"] else [{"kind": "pod", "object": "x"}]


def a_relaxed_limit(forged: Forged) -> None:
    finding = _with_argument(forged, float, int)
    name = forged.random.choice([k for k, v in finding["arguments"].items() if isinstance(v, float | int)])
    finding["arguments"][name] = finding["arguments"][name] * forged.random.choice([1.5, 10.0])
    _judged(forged, finding)


def a_limit_of_its_own(forged: Forged) -> None:
    """As the tool itself does it: the recording says the limit, and each finding is judged by it and says so."""
    replay = forged.replay("update-hardened")
    limit = LimitGiven(0.0, "running_again", "within_s", forged.random.choice([100.0, 10_000.0]))
    _given(forged, replay, limit)


def an_argument_less(forged: Forged) -> None:
    finding = next(f for f in forged.replay("small-hardened")["invariants"])
    del finding["arguments"][forged.random.choice(["fault", "tolerated_s"])]
    _judged(forged, finding)


def an_argument_more(forged: Forged) -> None:
    finding = next(f for f in forged.replay("small-hardened")["invariants"])
    finding["arguments"]["window"] = {"start": 0.0, "end": forged.random.choice([1.0, 1000.0])}
    _judged(forged, finding)


def other_names(forged: Forged) -> None:
    finding = _with_argument(forged, str, list)
    name = forged.random.choice([k for k, v in finding["arguments"].items() if isinstance(v, str | list)])
    finding["arguments"][name] = [] if isinstance(finding["arguments"][name], list) else "nobody"
    _judged(forged, finding)


def a_finding_less(forged: Forged) -> None:
    replay = forged.any_replay(hardened=True, findings=2)
    replay["invariants"].remove(forged.any_finding(replay))
    forged.fit(replay)


def a_finding_less_in_a_control(forged: Forged) -> None:
    replay = forged.any_replay(hardened=False, findings=2)
    replay["invariants"].remove(next(f for f in replay["invariants"] if f["name"] != "running-again"))
    forged.fit(replay)


def a_finding_twice(forged: Forged) -> None:
    replay = forged.any_replay(hardened=True)
    replay["invariants"].append(dict(forged.any_finding(replay)))
    forged.fit(replay)


def findings_swapped(forged: Forged) -> None:
    one, other = forged.random.sample([r for r in forged.replays if r["variant"] == "hardened"], 2)
    for key in ("invariants", "histories"):
        one[key], other[key] = other[key], one[key]
    forged.fit(one)
    forged.fit(other)


def a_weaker_promise(forged: Forged) -> None:
    finding = next(f for f in forged.replay("small-hardened")["invariants"])
    finding.update(promise=forged.random.choice(["no_container_restarted", "same_pods"]))
    finding["arguments"] = {"workload": "web"}
    _judged(forged, finding)


def no_recipe(forged: Forged) -> None:
    finding = forged.any_finding(forged.any_replay(hardened=True))
    for key in forged.random.choice([("promise", "arguments"), ("history",)]):
        del finding[key]
    forged.manifest["not_judged_again"] = "it was judged by hand"


def a_history_cut(forged: Forged) -> None:
    _edit(forged, lambda lines: lines[: len(lines) // 2])


def a_history_without_a_kind(forged: Forged) -> None:
    _edit(forged, lambda lines: [line for line in lines if b'"kind":"fault"' not in line])


def a_history_of_another_replay(forged: Forged) -> None:
    names = [h for r in forged.replays for h in r["histories"]]
    one, other = forged.random.sample(names, 2)
    forged.files[one] = forged.files[other]


def a_recording_twice(forged: Forged) -> None:
    """A replay that was not done: its twin's recording under another name, and all that follows from that."""
    twin = forged.any_replay(hardened=True)
    replay = json.loads(json.dumps(twin).replace("/history/0.jsonl", "/history/1.jsonl"))
    kinds = {"kind": "simulated", "simulated": "kind"}
    replay["cluster"] = kinds[twin["cluster"]]
    replay["test"] = twin["test"].replace(f"[{twin['cluster']}-", f"[{replay['cluster']}-")
    forged.files[replay["histories"][0]] = forged.files[twin["histories"][0]]
    forged.replays.append(replay)


def another_incident(forged: Forged) -> None:
    replay = forged.any_replay(hardened=True)
    other = forged.random.choice([each for each in incidents() if each.id != replay["id"]])
    replay["id"] = other.id
    known = [each["id"] for each in forged.results["catalogue"]]
    if other.id not in known:
        forged.results["catalogue"].append(json.loads(json.dumps(asdict(other))))


def another_suite(forged: Forged) -> None:
    replay = forged.replay("small-hardened")
    file = "suites/control_plane/test_mass_termination.py::test_nodes_that_lose_the_apiserver_keep_their_pods"
    replay["test"] = replay["test"].replace(SMALL, file)
    if forged.random.random() < 0.5:
        replay["replay"] = ""


def a_suite_that_nobody_knows(forged: Forged) -> None:
    replay = forged.any_replay()
    replay["test"] = "chaos run mass-termination"
    replay["invariants"] = replay["invariants"][:1]
    forged.fit(replay)


def a_control_less(forged: Forged) -> None:
    gone = forged.any_replay(hardened=False)
    forged.replays.remove(gone)
    for name in (*gone["histories"], *(piece["path"] for piece in gone["evidence"])):
        del forged.files[name]


def a_control_as_hardened(forged: Forged) -> None:
    replay = forged.any_replay(hardened=False)
    hardened = next(r for r in forged.replays if r["id"] == replay["id"] and r["variant"] == "hardened")
    control = replay.pop("control")
    replay.update(variant="hardened", verdict="held", passed=True)
    hardened.update(variant="control", control=control, verdict="violated", passed=True)
    replay["test"], hardened["test"] = hardened["test"], replay["test"]
    forged.fit(replay)
    forged.fit(hardened)


def another_profile(forged: Forged) -> None:
    forged.replay(forged.random.choice(["small-hardened", "small-default-tolerations"]))["profile"] = "full"


def another_cluster(forged: Forged) -> None:
    forged.any_replay()["cluster"] = "existing"


def another_catalogue(forged: Forged) -> None:
    entry = forged.random.choice(forged.results["catalogue"])
    entry[forged.random.choice(["claim", "story", "source", "level"])] = "MUST be so, and is"


def a_name_twice(forged: Forged) -> None:
    """The first reader takes the first of the two, the next reader the other."""
    replay = forged.any_replay(hardened=True)
    forged.raw = json.dumps(forged.results).replace(
        f'"why": {json.dumps(replay["why"])}', f'"why": "all is well", "why": {json.dumps(replay["why"])}', 1
    )


def a_page(forged: Forged) -> None:
    forged.files[forged.random.choice(["report.html", "index.html", "README.md"])] = b"<h1>safe</h1>"


def a_junit(forged: Forged) -> None:
    forged.files[forged.random.choice(["junit.xml", "junit_01.xml"])] = b'<testsuites tests="1000" failures="0"/>'


MUTATIONS: tuple[Callable[[Forged], None], ...] = (
    another_verdict_of_a_finding,
    another_verdict,
    another_passed,
    another_why,
    a_longer_why,
    unknown_by_its_own_words,
    another_sentence,
    another_figure,
    another_name,
    another_reason,
    another_proof,
    a_relaxed_limit,
    a_limit_of_its_own,
    an_argument_less,
    an_argument_more,
    other_names,
    a_finding_less,
    a_finding_less_in_a_control,
    a_finding_twice,
    findings_swapped,
    a_weaker_promise,
    no_recipe,
    a_history_cut,
    a_history_without_a_kind,
    a_history_of_another_replay,
    a_recording_twice,
    another_incident,
    another_suite,
    a_suite_that_nobody_knows,
    a_control_less,
    a_control_as_hardened,
    another_profile,
    another_cluster,
    another_catalogue,
    a_name_twice,
    a_page,
    a_junit,
)


@pytest.mark.parametrize("name", ["{0}/victim", "../../../../../../../../{0}/victim", "{0}/made/history.jsonl"])
def test_a_recording_that_is_named_elsewhere_is_neither_made_nor_emptied_there(
    name: str, bundle: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    forged = Forged(bundle)
    forged.replays[0]["invariants"][0]["history"] = name.format(tmp_path)
    assert not is_verified(forged.sealed(tmp_path / "bundle.zip"))
    assert victim.read_text() == "precious"
    assert {each.name for each in tmp_path.iterdir()} == {"victim", "bundle.zip"}


@pytest.mark.parametrize("seed", range(SEEDS), ids=lambda seed: f"{seed}-{MUTATIONS[seed % len(MUTATIONS)].__name__}")
def test_no_mutation_is_verified(seed: int, bundle: Path, tmp_path: Path) -> None:
    forged = Forged(bundle, seed)
    before = json.dumps(forged.results), dict(forged.files)
    MUTATIONS[seed % len(MUTATIONS)](forged)
    assert (forged.raw or json.dumps(forged.results), forged.files) != before
    assert not is_verified(forged.sealed(tmp_path / "forged.zip"))


def _with_argument(forged: Forged, *kinds: type) -> dict[str, Any]:
    """A finding with an argument of one of those types, at random, of a replay that is hardened."""
    findings = [f for r in forged.replays if r["variant"] == "hardened" for f in r["invariants"]]
    return forged.random.choice([f for f in findings if any(isinstance(v, kinds) for v in f["arguments"].values())])


def _judged(forged: Forged, finding: dict[str, Any]) -> None:
    """All that follows from how a finding says that it was made is true."""
    forged.judge(finding)
    for replay in forged.replays:
        if any(each is finding for each in replay["invariants"]):
            forged.fit(replay)


def test_a_tighter_limit_of_its_makers_own_is_verified_and_told(bundle: Path, tmp_path: Path) -> None:
    forged = Forged(bundle)
    _given(forged, forged.replay("update-hardened"), LimitGiven(0.0, "running_again", "within_s", 44.0))
    found = verify(forged.sealed(tmp_path / "bundle.zip"))
    assert found.verified, found
    (note,) = [each for each in found.notes if "limit" in each]
    assert note.endswith("it was judged by a limit of its maker's own (within_s 44, shipped: 45)")


def test_a_limit_that_is_taken_out_of_the_recording_again_differs(bundle: Path, tmp_path: Path) -> None:
    forged = Forged(bundle)
    replay = forged.replay("update-hardened")
    before = dict(forged.files)
    _given(forged, replay, LimitGiven(0.0, "running_again", "within_s", 44.0))
    forged.files = before
    assert verify(forged.sealed(tmp_path / "bundle.zip")).differs


def _given(forged: Forged, replay: dict[str, Any], limit: LimitGiven) -> None:
    """A limit of the maker's own, in the recording of a replay and in all that follows from it."""
    (name,) = replay["histories"]
    first = forged.files[name].partition(b"\n")[0]
    line = to_line(limit, json.loads(first)["wall"] - json.loads(first)["at"])
    forged.files[name] = first + b"\n" + line + forged.files[name].partition(b"\n")[2]
    for finding in replay["invariants"]:
        forged.judge(finding)
    forged.fit(replay)


def _edit(forged: Forged, edit: Callable[[list[bytes]], list[bytes]]) -> None:
    """Edit the recording of a replay that held, and leave what is said of it."""
    replay = forged.any_replay(hardened=True)
    (name,) = replay["histories"]
    forged.files[name] = b"".join(edit(forged.files[name].splitlines(keepends=True)))
