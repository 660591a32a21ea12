"""Bundles: what is in them; that any edit is found by the seal, the digests or judging again; that harm is refused."""

import json
import shutil
import stat
import weakref
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from chaos.cli.app import app
from chaos.errors import OrdealError
from chaos.judge.availability import outage_at_most
from chaos.judge.base import Invariant, Verdict, judge
from chaos.judge.catalogue import find
from chaos.judge.pods import nothing_terminated
from chaos.record.evidence import Piece
from chaos.record.history import History
from chaos.record.records import ClusterEvent
from chaos.record.registry import Record
from chaos.report import archive, product
from chaos.report.bundle import LEFT_OUT, MANIFEST, PRODUCT, RESULTS, digest, not_judged, pack
from chaos.report.html import page
from chaos.report.verify import EXIT_CODES, Said, Verified, verify
from chaos.results.results import Results
from chaos.results.saved import LeftOut, SavedRun, load
from chaos.run.incident import Replay
from chaos.run.promised import beginning, judged, says
from chaos.run.verdict import verdict_of
from tests.judge.histories import fault, pod, probes, saw_the_end
from tests.report.made import CONTROL, INCIDENT, TEST, finding, history, outcome, results

HARDENED: list[Record] = [
    beginning(INCIDENT, "", control="", cluster="kind", profile="smoke"),
    pod(0, "a"),
    *fault(1.0, 2.0),
    *probes("+++++-----++++++++++"),
    *saw_the_end(),
]
EVICTED: list[Record] = [
    beginning(INCIDENT, "", control=CONTROL, cluster="kind", profile="smoke"),
    pod(0, "a"),
    *fault(1.0, 60.0),
    pod(20.123456, "a", "modified", deleting=True, reason="DeletionByTaintManager"),
    ClusterEvent(20.2, "Pod/ns/a", "TaintManagerEviction", "Marking for deletion Pod ns/a"),
    *probes("+" * 40),
    *saw_the_end(),
]
INVARIANTS: list[Invariant] = [nothing_terminated("web"), outage_at_most(2.0)]
FACTS = {
    "vendor": "Example",
    "name": "Example Kubernetes",
    "version": "1.2.3",
    "website_url": "https://k8s.example.org",
    "documentation_url": "https://k8s.example.org/docs",
    "type": "distribution",
    "description": "Kubernetes for examples.",
    "contact_email_address": "k8s@example.org",
}


def replayed(made: Results, records: list[Record], control: str) -> None:
    """Put a replay into a run as the plugin does: judged by real invariants, its verdict made of the findings."""
    path = history(made, records, control or "hardened")
    findings = [replace(judge(each, History.load(path)), history=path) for each in INVARIANTS]
    verdict, passed, why = verdict_of(find(INCIDENT), control or None, findings, "", "1.34.4")
    logs = made.directory / "test_x" / "evidence" / f"{control or 'hardened'}.log"
    logs.parent.mkdir(exist_ok=True)
    logs.write_text("a line of evidence\n" * 5)
    made.add(
        outcome(
            *findings,
            control=control,
            verdict=verdict,
            passed=passed,
            why=why,
            histories=[path],
            evidence=[Piece("log", logs), Piece("metrics", None, "no answer")],
        )
    )


@pytest.fixture(autouse=True)
def made_up_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite of the replays here, which declares what they are judged by."""
    promises = judged(says(nothing_terminated, "web"), says(outage_at_most, 2.0), harm=(Cut,))
    replay = Replay(find(INCIDENT), ("kind",), (), (CONTROL,), "", promises=lambda _: promises)
    known = {TEST.partition("[")[0].removeprefix("suites/"): replay}
    monkeypatch.setattr("chaos.report.verify.replays", lambda: known)


class Cut:
    kind = "cut"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SavedRun:
    root = tmp_path_factory.mktemp("results")
    made = results(root)
    replayed(made, HARDENED, "")
    replayed(made, EVICTED, CONTROL)
    made.end()
    saved = load(root, str(made.directory))
    assert [o.passed for o in saved.outcomes] == [True, True], [o.why for o in saved.outcomes]
    return saved


@pytest.fixture(scope="module")
def bundle(run: SavedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("bundle") / "bundle.zip"
    pack(run, target, product.template())
    return target


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def sealed(path: Path, files: Mapping[str, bytes], *, listed: bool) -> Path:
    """A bundle of those files with a good seal; where `listed`, its manifest's digests are made to fit too."""
    if listed:
        manifest = json.loads(files[MANIFEST])
        manifest["files"] = {
            name: {"sha256": digest(content), "size_bytes": len(content)}
            for name, content in files.items()
            if name != MANIFEST
        }
        files = {**files, MANIFEST: json.dumps(manifest).encode()}
    archive.write(path, files)
    return path


def test_a_bundle_as_it_was_made_is_verified(bundle: Path, run: SavedRun) -> None:
    found = verify(bundle)
    assert found.verified, found
    assert (found.replays, found.passed, found.findings, found.differs, found.not_judged) == (2, 2, 4, (), ())
    assert any("vendor is missing" in note for note in found.notes)
    there = contents(bundle)
    assert {name for name in there if "/" not in name} == {MANIFEST, RESULTS, PRODUCT}
    assert sum(name.endswith(".jsonl") for name in there) == sum(name.endswith(".log") for name in there) == 2


def test_a_bundle_without_evidence_is_verified_and_says_that_it_has_none(run: SavedRun, tmp_path: Path) -> None:
    target = tmp_path / "bundle.zip"
    pack(run, target, product.template(), evidence=False)
    found = verify(target)
    assert found.verified, found
    there = contents(target)
    assert {name for name in there if not name.endswith(".jsonl")} == {MANIFEST, RESULTS, PRODUCT}
    assert sum(name.endswith(".jsonl") for name in there) == 2
    pieces = [piece for entry in json.loads(there[RESULTS])["incidents"] for piece in entry["evidence"]]
    assert pieces == 2 * [{"name": name, "missing": LEFT_OUT} for name in ("log", "metrics")]
    assert b"/evidence/" not in there[RESULTS]


def test_without_evidence_it_need_not_be_there(run: SavedRun, tmp_path: Path) -> None:
    """As in the artifact of a job that did not keep it."""
    (piece, *_) = [piece for o in run.outcomes for piece in o.evidence if piece.path]
    lacking = load(tmp_path, str(shutil.copytree(run.folder, tmp_path / run.id)))
    (lacking.folder / piece.path).unlink()
    with pytest.raises(OrdealError, match="is not whole"):
        pack(lacking, tmp_path / "b.zip", product.template())
    pack(lacking, tmp_path / "b.zip", product.template(), evidence=False)
    assert verify(tmp_path / "b.zip").verified


def test_no_two_histories_are_in_memory_at_a_time(
    run: SavedRun, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, read, times = weakref.WeakSet[History](), History.load, 0

    def load(path: Path, opened: BinaryIO | None = None) -> History:
        nonlocal times
        assert not list(there), f"while {path} is read"
        history = read(path, opened)
        there.add(history)
        times += 1
        return history

    monkeypatch.setattr(History, "load", load)
    assert verify(bundle).verified
    assert times == 2
    page(run, tmp_path)
    assert times >= 4


def test_the_same_run_makes_the_same_bundle(bundle: Path, run: SavedRun, tmp_path: Path) -> None:
    pack(run, tmp_path / "again.zip", product.template())
    assert (tmp_path / "again.zip").read_bytes() == bundle.read_bytes()


def test_a_changed_byte_anywhere_in_the_archive_breaks_its_seal(bundle: Path, tmp_path: Path) -> None:
    original, edited = bundle.read_bytes(), tmp_path / "edited.zip"
    edited.write_bytes(original)
    with edited.open("r+b", buffering=0) as file:
        for place in range(len(original)):
            file.seek(place)
            file.write(bytes([original[place] ^ 1]))
            assert archive.broken_seal(edited), place
            file.seek(place)
            file.write(original[place : place + 1])
    assert not archive.broken_seal(edited)


def fails(path: Path) -> bool:
    """Whether a bundle is not verified, or can't be read at all."""
    try:
        return not verify(path).verified
    except OrdealError:
        return True


@given(data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_character_changed_in_any_file_is_found_though_the_archive_is_sealed_again(
    bundle: Path, tmp_path: Path, data: st.DataObject
) -> None:
    files = contents(bundle)
    name = data.draw(st.sampled_from(sorted(files.keys() - {MANIFEST})))
    content = bytearray(files[name])
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 127))
    assert fails(sealed(tmp_path / "edited.zip", {**files, name: bytes(content)}, listed=False))


def edited_claim(files: Mapping[str, bytes], change: Callable[[list[Any]], object]) -> dict[str, bytes]:
    content = json.loads(files[RESULTS])
    change(content["incidents"])
    return {**files, RESULTS: json.dumps(content).encode()}


CLAIMS: dict[str, tuple[Callable[[list[Any]], object], str]] = {
    "figure": (lambda i: i[0]["invariants"][1]["figures"].update(longest_outage_ms=5), "figures is claimed to be"),
    "sentence": (lambda i: i[0]["invariants"][0].update(sentence="all is well"), "sentence is claimed to be"),
    "limit": (lambda i: i[0]["invariants"][1]["arguments"].update(limit_s=99.0), "name is claimed to be"),
    "proof": (lambda i: i[1]["invariants"][0].update(proof=[]), "proof is claimed to be"),
    "reason": (lambda i: i[1]["invariants"][0].update(reason="other"), "contradict themselves"),
    "verdict": (lambda i: i[1]["invariants"][1].update(verdict="violated"), "verdict is claimed to be"),
    "why": (lambda i: i[0].update(why="all the best"), "its sentence is claimed to be"),
    "passed": (lambda i: i[0].update(passed=False), "contradict themselves"),
    "worse": (lambda i: i[1].update(passed=False), "its passed is claimed to be False, by its findings it is True"),
    "promise": (lambda i: i[0]["invariants"][0].update(promise="no_such"), "this version knows no promise 'no_such'"),
    "arguments": (lambda i: i[0]["invariants"][0].update(arguments={"x": 1}), "do not fit this version"),
    "no recipe": (lambda i: [i[0]["invariants"][0].pop(k) for k in ("promise", "arguments")], ""),
    "dropped": (lambda i: i[0]["invariants"].pop(), "its sentence is claimed to be"),
    "history": (lambda i: i[0]["invariants"][0].update(history="gone.jsonl"), "gone.jsonl is named by results.json"),
}


@pytest.mark.parametrize("what", CLAIMS)
def test_an_edited_claim_is_found_by_judging_again_though_every_digest_fits(
    bundle: Path, tmp_path: Path, what: str
) -> None:
    change, says = CLAIMS[what]
    found = verify(sealed(tmp_path / "edited.zip", edited_claim(contents(bundle), change), listed=True))
    assert not found.verified
    assert any(says in sentence for sentence in (*found.differs, *found.not_judged)), found
    assert not any("SHA-256" in sentence or "seal" in sentence for sentence in found.differs)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"ok":false', b'"ok":true'),
        (b'"at":20.123456', b'"at":20.123556'),
        (b'"DeletionByTaintManager"', b'"DeletionByTaintManages"'),
    ],
)
def test_an_edited_history_is_found_by_judging_again_though_every_digest_fits(
    bundle: Path, tmp_path: Path, old: bytes, new: bytes
) -> None:
    files = contents(bundle)
    edited = {n: c.replace(old, new, 1) if n.endswith(".jsonl") else c for n, c in files.items()}
    assert edited != files
    assert fails(sealed(tmp_path / "edited.zip", edited, listed=True))


def test_files_that_are_not_listed_or_not_there_are_found(bundle: Path, tmp_path: Path) -> None:
    files = contents(bundle)
    more = verify(sealed(tmp_path / "more.zip", {**files, "notes.txt": b"x"}, listed=False))
    assert more.differs == (
        "notes.txt is not in MANIFEST.json",
        "notes.txt is in the bundle, and results.json does not name it: nothing backs what is in it",
    )
    log = next(name for name in files if name.endswith(".log"))
    less = verify(sealed(tmp_path / "less.zip", {n: c for n, c in files.items() if n != log}, listed=False))
    assert f"{log} is in MANIFEST.json and is not there" in less.differs
    assert f"{log} is named by results.json and is not there" in less.differs


def test_packed_again_by_something_else_is_found(bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "again.zip", "w") as again:
        for name, content in contents(bundle).items():
            again.writestr(name, content)
    assert any("has no seal" in sentence for sentence in verify(tmp_path / "again.zip").differs)


@pytest.mark.parametrize("cut", [1, 100, 3000])
def test_a_bundle_that_was_cut_off_cant_be_read(bundle: Path, tmp_path: Path, cut: int) -> None:
    (tmp_path / "cut.zip").write_bytes(bundle.read_bytes()[:-cut])
    assert fails(tmp_path / "cut.zip")


def test_what_is_no_bundle_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OrdealError, match="can't be read: No such file"):
        verify(tmp_path / "none.zip")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(OrdealError, match="is no bundle that can be read"):
        verify(tmp_path / "text.zip")
    archive.write(tmp_path / "other.zip", {"x": b""})
    with pytest.raises(OrdealError, match=r"there is no MANIFEST.json in"):
        verify(tmp_path / "other.zip")
    archive.write(tmp_path / "bad.zip", {MANIFEST: b'{"format": 1}'})
    with pytest.raises(OrdealError, match=r"MANIFEST.json in .* can't be read .*missing required field"):
        verify(tmp_path / "bad.zip")


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a\\..\\x", "c:/x", "a//x", "./x", "dir/"])
def test_names_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as evil:
        evil.writestr(zipfile.ZipInfo(name), b"")
    with pytest.raises(OrdealError, match="is refused"):
        verify(tmp_path / "evil.zip")


def test_links_bombs_and_doubled_names_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr, link.create_system = (stat.S_IFLNK | 0o777) << 16, 3
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as evil:
        evil.writestr(link, "/etc/passwd")
    with pytest.raises(OrdealError, match="'link' is no regular file but a link"):
        verify(tmp_path / "link.zip")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as evil:
        evil.writestr("zeros", bytes(archive.MANY_BYTES + 1))
    with pytest.raises(OrdealError, match="would unpack to 64 MiB"):
        verify(tmp_path / "bomb.zip")
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as evil:
        evil.writestr("x", "1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            evil.writestr("x", "2")
    with pytest.raises(OrdealError, match="'x' is in it twice"):
        verify(tmp_path / "twice.zip")


def test_findings_without_a_recipe_are_not_judged_again_whatever_the_bundle_says_of_them(tmp_path: Path) -> None:
    made = results(tmp_path)
    made.add(outcome(replace(finding(), recipe=None), why="1 invariants held"))
    made.end()
    saved = load(tmp_path, str(made.directory))
    assert len(not_judged(saved)) == 1
    for why in ("", "judged by hand"):
        pack(saved, tmp_path / "1.zip", product.template(), not_judged_again=why)
        found = verify(tmp_path / "1.zip")
        assert (found.verified, found.judged, found.why_not) == (False, 0, why)
        assert f"{saved.outcomes[0].test}: nothing-terminated" in found.not_judged


def test_a_replay_of_no_suite_that_is_known_is_judged_again_and_not_verified(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaos.report.verify.replays", dict)
    found = verify(bundle)
    assert (found.said, found.differs, found.judged) == (Said.NOT_ALL, (), 4)
    assert all("this version has no suite of it" in each for each in found.not_judged)


def test_what_is_held_without_its_control_is_not_verified_unless_it_is_said_why(tmp_path: Path) -> None:
    made = results(tmp_path)
    replayed(made, HARDENED, "")
    made.end()
    saved = load(tmp_path, str(made.directory))
    pack(saved, tmp_path / "1.zip", product.template())
    found = verify(tmp_path / "1.zip")
    assert (found.said, found.differs) == (Said.NOT_ALL, ())
    assert found.not_judged[0].endswith(f"its control {CONTROL} is not in the run: can the check fail?")
    made.leave_out([LeftOut(TEST.format(f"kind-control:{CONTROL}"), INCIDENT, "no time")])
    pack(load(tmp_path, str(made.directory)), tmp_path / "2.zip", product.template())
    found = verify(tmp_path / "2.zip")
    assert found.verified, found
    assert any(f"why the control {CONTROL} was not run" in claim for claim in found.claims)


def test_unknown_by_its_own_words_is_not_judged_again_and_lacks_nothing(tmp_path: Path) -> None:
    """The replay ended by an error before it had judged all that it declares."""
    made = results(tmp_path)
    path = history(made, HARDENED)
    judged_by = replace(judge(INVARIANTS[0], History.load(path)), history=path)
    why = "the fault cut could not be undone"
    made.add(outcome(judged_by, verdict=Verdict.UNKNOWN, passed=False, why=why, histories=[path]))
    made.end()
    pack(load(tmp_path, str(made.directory)), tmp_path / "1.zip", product.template())
    found = verify(tmp_path / "1.zip")
    assert (found.said, found.differs) == (Said.NOT_ALL, ())
    assert [each.endswith("it is unknown, and only its own words say why") for each in found.not_judged] == [True]


def test_a_run_that_is_not_whole_is_not_packed(run: SavedRun, tmp_path: Path) -> None:
    shutil.copytree(run.path.parent, tmp_path / "run")
    next((tmp_path / "run").rglob("*.log")).unlink()
    with pytest.raises(OrdealError, match=r"is not whole: .*\.log is missing"):
        pack(load(tmp_path, str(tmp_path / "run")), tmp_path / "x.zip", product.template())
    assert not (tmp_path / "x.zip").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"vendor": ""}, "vendor is missing"),
        ({"website_url": "example.org"}, "website_url is no address of a page: example.org"),
        (
            {"type": "toaster"},
            "type is toaster, it must be distribution, hosted platform, hosted, platform or installer",
        ),
        ({"type": "Distribution"}, "type is Distribution, it must be distribution"),
        ({"version": 11.0}, "version is no text: put it in quotes"),
        ({"version": date(2026, 1, 1)}, "version is no text: put it in quotes"),
        ({"description": True}, "description is no text"),
        ({"product_logo_url": "logo.svg"}, "product_logo_url is no address of a page: logo.svg"),
        ({"contact_email_address": "nobody"}, "contact_email_address is no address"),
        ({"contact_email_address": "Team <nobody>"}, "contact_email_address is no address"),
        ({"contact_email_address": "a@example.org, b@example.org"}, "contact_email_address is no address"),
        ({"vendors": "x"}, "there is no field vendors"),
    ],
)
def test_product_facts_are_checked(tmp_path: Path, change: dict[str, object], says: str) -> None:
    path = tmp_path / "PRODUCT.yaml"
    path.write_text(yaml.safe_dump(FACTS))
    assert product.read(path).lacks == ()
    path.write_text(yaml.safe_dump({**FACTS, **change}))
    with pytest.raises(OrdealError, match=says):
        product.read(path)
    assert len(product.template().lacks) == len(product.FIELDS)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "hosted platform"},
        {"type": "hosted"},  # Google's
        {"type": "platform"},  # Amazon's
        {"type": "installer"},
        {"product_logo_url": None},
        {"repo_url": "https://github.com/example/k8s", "product_logo_url": "https://k8s.example.org/logo.svg"},
        {"contact_email_address": "Team <team@example.org>"},
        {"contact_email_address": '"Team, The" <team@example.org>'},
        {"version": "11.0"},
    ],
)
def test_product_facts_as_vendors_write_them_are_taken(tmp_path: Path, change: dict[str, str | None]) -> None:
    path = tmp_path / "PRODUCT.yaml"
    path.write_text(yaml.safe_dump({**FACTS, **change}))
    assert product.read(path).lacks == ()


def test_the_commands(run: SavedRun, tmp_path: Path) -> None:
    (tmp_path / "PRODUCT.yaml").write_text(yaml.safe_dump(FACTS))
    target, where = str(tmp_path / "b.zip"), str(run.path.parent)
    command = CliRunner()
    made = command.invoke(app, ["bundle", where, "--product", str(tmp_path / "PRODUCT.yaml"), "-o", target])
    assert (made.exit_code, made.output.startswith(f"{target}: 7 files")) == (0, True), made.output
    good = command.invoke(app, ["verify", target])
    assert (good.exit_code, good.stdout.splitlines()[-1].startswith("verified")) == (0, True), good.output
    content = bytearray(Path(target).read_bytes())
    content[-1] ^= 1
    Path(target).write_bytes(content)
    bad = command.invoke(app, ["verify", target])
    assert (bad.exit_code, "its seal is broken" in bad.stdout) == (1, True), bad.output
    told = command.invoke(app, ["verify", target, "--json"])
    assert (told.exit_code, json.loads(told.stdout)["verified"]) == (1, False)
    Path(target).write_bytes(b"")
    gone = command.invoke(app, ["verify", target])
    assert (gone.exit_code, "is no bundle that can be read" in gone.stderr) == (2, True), gone.output


def test_the_third_answer_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    made = results(tmp_path)
    replayed(made, HARDENED, "")
    made.end()
    pack(load(tmp_path, str(made.directory)), tmp_path / "1.zip", product.template())
    said = CliRunner().invoke(app, ["verify", str(tmp_path / "1.zip")])
    assert (said.exit_code, said.stdout.splitlines()[-1]) == (3, "NOT verified: not all could be judged again")
    assert "claims that nothing here backs:" in said.stdout
    told = CliRunner().invoke(app, ["verify", str(tmp_path / "1.zip"), "--json"])
    assert (told.exit_code, json.loads(told.stdout)["said"]) == (3, str(Said.NOT_ALL))


def test_verified_says_what_it_is() -> None:
    good = Verified("r", 1, 1, 1, 1, 1, (), (), "", (), ())
    assert good.verified
    assert replace(good, judged=0).said is Said.NOT_ALL
    assert replace(good, not_judged=("x",), why_not="so").said is Said.NOT_ALL
    assert replace(good, not_judged=("x",), differs=("x",)).said is Said.DIFFERS
    assert sorted(EXIT_CODES[said] for said in Said) == [0, 1, 3]
