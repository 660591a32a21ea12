"""Files that were made to do harm: each is refused with one sentence, before it takes the machine's memory or time."""

import base64
import hashlib
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.basics import untrusted
from chaos.basics.untrusted import DEPTH, Limit, bounded, json_of, json_text, lines, yaml_of
from chaos.clusters.base import ClusterRef
from chaos.clusters.kind.home import IDENTITY, home_of, made_here
from chaos.clusters.shape import Shape, Zone
from chaos.clusters.simulated import home as simulated_home
from chaos.clusters.simulated import processes as simulated_processes
from chaos.clusters.way import credentials, kubeconfig, kubeconfig_text
from chaos.conformance import program
from chaos.errors import OrdealError
from chaos.hosts import binaries, bundles, ownership, record, registry
from chaos.judge.base import Verdict, judge
from chaos.judge.data import no_acknowledged_write_lost
from chaos.record.history import History
from chaos.record.journal import Journal, pending
from chaos.record.lines import to_line
from chaos.record.records import FaultStep, Phase, Sample, Stored, Writes
from chaos.record.registry import Record
from chaos.report import archive, product, prune, verify
from chaos.results import saved
from chaos.writers.ranges import count, covers, merged, numbers_in, ranges_of, spans_of

SMALL = Limit(1024, 100)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab\\\"u\n", max_size=3), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


# --- JSON


@given(JSON)
def test_what_any_program_writes_is_read_as_it_is(held: object) -> None:
    assert json_of(json.dumps(held).encode()) == held
    assert json_of(json.dumps(held, ensure_ascii=False).encode()) == held
    assert json_of(json_text(held).encode()) == held


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b'[{"b": {"a": 1, "\\u0061": 1}}]', "'a' stands twice"),
        (b"[NaN]", "NaN is no number"),
        (b"[-Infinity]", "-Infinity is no number"),
        (b"[1e999]", "infinite"),
        (b"[" + b"9" * 5000 + b"]", "digits"),
        (b"[18446744073709551616]", "64 bits"),
        (b'["\\ud800"]', "half of a character"),
        (b'{"\\udc00": 1}', "half of a character"),
        (b'["\xed\xa0\x80"]', "no JSON"),
        (b'["\xff"]', "no JSON"),
        ('["a"]'.encode("utf-16"), "no JSON"),
        (b"\xef\xbb\xbf[]", "no JSON"),
        (b"[1] [2]", "no JSON"),
        (b"[1", "no JSON, it may be cut off"),
        (b"", "no JSON"),
        (b"[" * (DEPTH + 1) + b"]" * (DEPTH + 1), "nested too deeply"),
        (b"[" * 400_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_what_can_be_understood_in_two_ways_or_not_at_all_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        json_of(data)


def test_as_deep_as_may_be_is_read() -> None:
    json_of(b"[" * DEPTH + b"]" * DEPTH)


def test_the_size_and_the_number_of_values_have_an_end() -> None:
    json_of(b"[" + b"1," * 98 + b"1]", SMALL)
    with pytest.raises(ValueError, match="more than 100 values"):
        json_of(b"[" + b"1," * 100 + b"1]", SMALL)
    with pytest.raises(ValueError, match="larger than 1 KiB"):
        json_of(b'"' + b"a" * 1024 + b'"', SMALL)
    bounded(io.BytesIO(b"a" * 1024), SMALL)
    with Path("/dev/zero").open("rb") as endless, pytest.raises(ValueError, match="larger than 1 KiB"):
        bounded(endless, SMALL)


def test_half_of_a_pair_is_written_as_a_text_that_names_it() -> None:
    held = {"a": 'one \ud800, \\ud800, "\udfff", \U0001f600'}
    assert json_of(json_text(held).encode()) == {"a": 'one \\ud800, \\ud800, "\\udfff", \U0001f600'}


def test_a_line_has_an_end() -> None:
    assert list(lines(io.BytesIO(b"ab\nc"), 3)) == [b"ab\n", b"c"]
    with Path("/dev/zero").open("rb") as endless, pytest.raises(ValueError, match="longer than 1 KiB"):
        next(lines(endless, 1024))


# --- YAML


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\na: 2", "'a' stands twice"),
        ("x:\n- {1: a, '1': b}", "'1' stands twice"),
        ("a: &a [x, x]\nb: [*a, *a]", "line 2 takes something from another place"),
        ("<<: {a: 1}\na: 2", "takes something from another place"),
        ("a: 1\n---\na: 2", "a second document begins at line 2"),
        ("a: !!python/object/apply:os.system [ls]", "has a tag"),
        ("a: !!timestamp x", "has a tag"),
        ("? [a, b]\n: 1", "a key is no text"),
        ("[" * 20_000, "nested too deeply"),
        ("- " * 20_000, "nested too deeply"),
        (f"a: {'9' * 5000}", "digits"),
        ("a: .inf", "infinite"),
        ("a: .nan", "infinite, or none"),
        ("a: 18446744073709551616", "64 bits"),
        ("a: 2026-99-99", "month"),
        ("a: [", "no YAML"),
        ("a: \0", "no YAML"),
        ("x: [" + "1," * 50_000 + "1]", "more than 50000 values"),
        ("#" * 1024**2 + "#", "larger than 1 MiB"),
    ],
)
def test_yaml_that_is_ambiguous_or_grows_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        yaml_of(text.encode())


def test_yaml_that_is_neither_is_read() -> None:
    assert yaml_of(b"a: {b: [1, x, null]}\n'c': \"*d <<\"\n") == {"a": {"b": [1, "x", None]}, "c": "*d <<"}
    assert yaml_of(b"") is None


def test_product_facts_and_kubeconfigs_say_a_thing_once(tmp_path: Path) -> None:
    facts = tmp_path / "PRODUCT.yaml"
    facts.write_text('vendor: "a"\nvendor: "b"\n')
    with pytest.raises(OrdealError, match="'vendor' stands twice"):
        product.read(facts)
    facts.write_bytes(b"#" * 100_000)
    with pytest.raises(OrdealError, match="larger than 64 KiB"):
        product.read(facts)
    config = tmp_path / "config"
    for text in (
        "clusters: []\ncurrent-context: a\ncurrent-context: b\n",
        '{"clusters": [], "current-context": "a", "current-context": "b"}',
    ):
        config.write_text(text)
        with pytest.raises(OrdealError, match="'current-context' stands twice"):
            kubeconfig.read(config)
    for text in ("a: !!timestamp x", "a: !!bool x", "a: !!int ''", '{"a": "\\ud800"}', f"a: {'9' * 5000}"):
        config.write_text(text)
        with pytest.raises(OrdealError, match="not a usable kubeconfig"):
            kubeconfig.read(config)


def test_keys_that_a_kubeconfig_merges_are_kept_once() -> None:
    levels = [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 40)]  # else 2**39 keys
    held = kubeconfig_text.parse("\n".join(["a0: &a0 {k: 1}", *levels]).encode())
    assert held == {f"a{n}": {"k": 1} for n in range(40)}
    inner_first = b"base: &b {k: 1, l: 1}\nx: {deep: &a {<<: *b, k: 2}}\ny: {<<: *a, l: 3}"
    assert kubeconfig_text.parse(inner_first) == {
        "base": {"k": 1, "l": 1},
        "x": {"deep": {"k": 2, "l": 1}},
        "y": {"k": 2, "l": 3},
    }
    many = f"a: &a {{{', '.join(f'k{n}: 1' for n in range(1100))}}}\nb: {{<<: [{', '.join(['*a'] * 1000)}]}}"
    for text, says in (
        (many, "merges more than a kubeconfig can"),
        ("base: &b {k: 1}\nx: {deep: &a {<<: *b, k: 2, k: 3}}\ny: {<<: *a}", "'k' stands twice"),
        ("a: &a {<<: *a}", "nested too deeply"),
    ):
        with pytest.raises(ValueError, match=says):
            kubeconfig_text.parse(text.encode())


def _user(tmp_path: Path, user: str) -> kubeconfig.Chosen:
    config = tmp_path / "config"
    config.write_text(
        "{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: k, cluster: {server: 'https://a'}}], "
        f"contexts: [{{name: c, context: {{cluster: k, user: u}}}}], users: [{{name: u, user: {user}}}]}}"
    )
    return kubeconfig.read(config).choose()


def test_what_a_kubeconfig_names_has_an_end(tmp_path: Path) -> None:
    with pytest.raises(OrdealError, match="tokenFile '/dev/zero' can't be used: it is larger than 1 MiB"):
        kubeconfig.contents(_user(tmp_path, "{}"), "tokenFile", "", "/dev/zero")


@pytest.mark.parametrize(
    "claims", ['{"exp": "nan"}', '{"exp": NaN}', '{"exp": 9e9, "exp": 1}', "[" * 2000, '{"exp": 1' + "0" * 400 + "}"]
)
def test_a_token_that_does_not_say_until_when_it_holds_is_none(tmp_path: Path, claims: str) -> None:
    token = f"a.{base64.urlsafe_b64encode(claims.encode()).decode().rstrip('=')}.c"
    chosen = _user(tmp_path, f"{{auth-provider: {{name: oidc, config: {{id-token: {token}}}}}}}")
    with pytest.raises(OrdealError, match="is no token; log in again"):
        credentials._of_provider(chosen)


# --- recordings


def _recording(tmp_path: Path, *lines_: bytes) -> Path:
    path = tmp_path / "history.jsonl"
    path.write_bytes(b"".join(each if each.endswith(b"\n") else each + b"\n" for each in lines_))
    return path


GOOD = to_line(Phase(1.0, "judge"), 0.0)
WRITES = to_line(Writes(1.0, "db", "c", 1, 9, ok=True, took_s=0.1), 0.0)
STORED = to_line(Stored(2.0, "db", "m", "c", 9, ("1-3",)), 0.0)


@pytest.mark.parametrize(
    ("line", "old", "new"),
    [
        (WRITES, b'"last":9', b'"last":99999999999999999999'),
        (WRITES, b'"first":1', b'"first":0'),
        (WRITES, b'"first":1', b'"first":10'),
        (WRITES, b'"took_s":0.1', b'"took_s":1e300'),
        (STORED, b"1-3", b"1-99999999999999999"),
        (STORED, b"1-3", b"-3"),
        (STORED, b"1-3", b"1-3\\n"),
        (STORED, b'"acknowledged":9', b'"acknowledged":-9'),
        (GOOD, b'"at":1.0', b'"at":1e300'),
        (GOOD, b'"at":1.0', b'"at":1.0,"at":1.0'),
        (GOOD, b'"name":"judge"', b'"name":"judge","\\u006eame":"fault"'),
        (GOOD, b'"detail":""', b'"detail":"","detail":"x"'),
        (GOOD, b'"detail":""', b'"detail":"\\ud800"'),
        (GOOD, b'"detail":""', b'"more":' + b"[" * 100_000),
    ],
)
def test_a_line_with_numbers_or_names_that_no_replay_writes_is_an_error(
    tmp_path: Path, line: bytes, old: bytes, new: bytes
) -> None:
    assert line.count(old) == 1
    with pytest.raises(OrdealError, match="line 1 is not a history record"):
        History.load(_recording(tmp_path, line.replace(old, new), GOOD))


def test_a_line_without_end_and_records_without_end_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaos.record.history.MOST_RECORDS", 3)
    assert len(History.load(_recording(tmp_path, *[GOOD] * 3))) == 3
    with pytest.raises(OrdealError, match="more than 3 records"):
        History.load(_recording(tmp_path, *[GOOD] * 4))
    endless = tmp_path / "sparse"
    with endless.open("wb") as file:
        file.write(GOOD)
        file.truncate(untrusted.LINE_BYTES * 4)
    with pytest.raises(OrdealError, match="line 2 is not a history record: it is longer than 16 MiB"):
        History.load(endless)


def test_an_order_of_names_that_is_not_ours_is_read_all_the_same(tmp_path: Path) -> None:
    line = json.loads(WRITES)
    other = json.dumps({name: line[name] for name in reversed(line)}, indent=None).encode()
    assert len(History.load(_recording(tmp_path, GOOD, other))) == 2


def test_ranges_of_any_size_are_counted_and_not_written_out() -> None:
    most = 10**14
    records: list[Record] = [
        Writes(1.0, "db", "c", 1, most, ok=True, took_s=0.1),
        Stored(2.0, "db", "m", "c", most, (f"2-{most - 1}",)),
    ]
    found = judge(no_acknowledged_write_lost("db", members=["m"]), History.of_records(records))
    assert (found.verdict, found.figures["lost"]) == (Verdict.VIOLATED, most - 2)
    with pytest.raises(ValueError, match="more than any client writes"):
        numbers_in(["1-99999999999"])


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=12), st.sets(st.integers(0, 70)))
def test_spans_are_sets_of_numbers(drawn: list[tuple[int, int]], others: set[int]) -> None:
    spans = [(first, first + more) for first, more in drawn]
    numbers = {n for first, last in spans for n in range(first, last + 1)}
    of_others = spans_of(ranges_of(others))
    assert count(merged(spans)) == len(numbers)
    assert covers(merged(spans), of_others) == (others <= numbers)
    assert numbers_in(ranges_of(others)) == others


@pytest.mark.parametrize("text", ["", "-", "a", "3-1", "1-2-3", "1-"])
def test_what_is_no_range_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid literal|is no range"):
        spans_of([text])


# --- what is kept for later


def _journal(tmp_path: Path, change: Callable[[bytes], bytes]) -> Path:
    path = tmp_path / "journal" / "run.jsonl"
    journal = Journal(path)
    journal.planned("cut", ClusterRef("kind", "o", "k"), {"a": 1})
    journal.close()
    path.write_bytes(change(path.read_bytes()))
    return path.parent


@pytest.mark.parametrize(
    "change",
    [
        lambda line: b"[1]\n",
        lambda line: b"{}\n",
        lambda line: line.replace(b'"entry": 1', b'"entry": "1"'),
        lambda line: line.replace(b'"entry": 1', b'"entry": 1, "entry": 2'),
        lambda line: line.replace(b'"saved": {', b'"saved": [], "x": {'),
        lambda line: line.replace(b"planned", b"done"),
        lambda line: b"[" * 100_000 + b"\n",
        lambda line: line.replace(b'"a": 1', b'"a": ' + b"9" * 5000),
    ],
)
def test_a_journal_that_nobody_can_understand_is_named_with_its_line(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(OrdealError, match=r"run.jsonl is damaged at line 1: .*undo by hand"):
        pending(_journal(tmp_path, change))


def test_what_could_not_be_read_back_is_not_harmed(tmp_path: Path) -> None:
    with Journal(tmp_path / "run.jsonl") as journal:
        for saved_ in ({"a": float("nan")}, {"a": "\ud800"}, {"a": 10**400}):
            with pytest.raises(OrdealError, match="could not be read back"):
                journal.planned("cut", ClusterRef("kind", "o", "k"), saved_)
        entry = journal.planned("cut", ClusterRef("kind", "o", "k"), {"a": "ü"})
        journal.failed(entry, "\udcff")
        journal.undone(entry)


def test_records_of_another_shape_are_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "engine.json"
    monkeypatch.setattr(record, "path", lambda: path)
    for text in ("[1]", '{"pid": "1"}', '{"pid": 1, "pid": 2}', '{"more": 1}', "[" * 100_000, '{"routes": "abc"}'):
        path.write_text(text)
        with pytest.raises(OrdealError, match=r"engine.json is damaged"):
            record.read()
    home = tmp_path / "cluster"
    home.mkdir()
    made = simulated_home.ClusterRecord(
        Shape(zones=(Zone("a", 3, (("x", 2),)),)), "1", "2", "3", simulated_home.Ports(*range(9))
    )
    simulated_home.write_record(home, made)
    assert simulated_home.read_record(home) == made
    for text in ("[" * 100_000, json.dumps({**asdict(made), "shape": []}), json.dumps({**asdict(made), "ports": 1})):
        (home / "cluster.json").write_text(text)
        with pytest.raises(OrdealError, match="no simulated cluster of ours"):
            simulated_home.read_record(home)
    process = tmp_path / "process"
    for line in (b"-1 (x) S" + b" 0" * 20, b"9" * 5000 + b" (x) S" + b" 0" * 20, b"x (x) S" + b" 0" * 20, b"\xff"):
        process.write_bytes(line)
        assert simulated_processes.read(process) is None
    process.write_bytes(b"7 (\xff) S" + b" 0" * 18 + b" 5028765")
    assert simulated_processes.read(process) == simulated_processes.OwnProcess(7, 5028765)


def test_what_a_kind_cluster_was_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    kept = home_of("a") / IDENTITY
    kept.parent.mkdir(parents=True)
    for text in ('{"uid": "1", "uid": "2"}', '{"uid": 1}', "[" * 100_000, "\udcff"):
        kept.write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(OrdealError, match=r"identity.json can't be read"):
            made_here("a")


def test_a_record_of_programs_that_is_no_record_means_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    conformance = bundles.BUNDLES[program.BUNDLE]
    for text in ('{"programs": []}', '{"programs": ["e2e.test"]}', '{"programs": {"e2e.test": 1}}', "[" * 100_000):
        (tmp_path / binaries.RECORD).write_text(text)
        assert binaries._read(conformance, "1.34.4", tmp_path) is None
        taken = program.taken("1.34.4")
        taken.mkdir(parents=True, exist_ok=True)
        (taken / program.RECORD).write_text(text)
        assert program._taken("1.34.4") is None
    made = tmp_path / "program"
    made.write_bytes(b"x")
    (tmp_path / ".program.sha256").write_bytes(b"\xff")
    assert binaries.digest(made) == hashlib.sha256(b"x").hexdigest()


def test_lists_that_are_no_text_are_told_or_read_byte_by_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = tmp_path / "published-images"
    listed.write_bytes(b"/a/\xff\n\n/b\0\n/c\x85d\n")
    assert ownership._named_in(listed) == [Path("/a/\udcff"), Path("/c\udc85d")]
    monkeypatch.setattr(registry, "manifests_dir", lambda: tmp_path)
    with pytest.raises(OrdealError, match=r"published-images can't be read: 'utf-8' codec"):
        registry.known("a:v1")


# --- results and bundles


def test_a_run_that_has_two_names_is_not_pruned(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    said = '"tool": {"name": "kube-ordeal"}, "started": "2026", "ended": "2026"'
    (tmp_path / "a" / "results.json").write_text(f'{{"run": "b", "run": "a", {said}}}')
    (tmp_path / "b" / "results.json").write_text(f'{{"run": "b", {said}}}')
    assert [each.path.name for each in prune.prune(tmp_path, 0, dry_run=True).removed] == ["b"]


@pytest.mark.parametrize("run", ['{"schema": 4, "schema": 3}', "[" * 100_000, '{"schema": NaN}', '{"a": "\\ud800"}'])
def test_results_that_say_two_things_are_refused(tmp_path: Path, run: str) -> None:
    (tmp_path / "results.json").write_text(run)
    with pytest.raises(OrdealError, match="the results at"):
        saved.load(tmp_path, str(tmp_path))


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "a/../../b"])
def test_a_name_that_can_be_no_files_is_refused(tmp_path: Path, name: str) -> None:
    run = saved.SavedRun("r", tmp_path / "results.json", {}, ())
    with pytest.raises(OrdealError, match="edited"):
        run.file(name)


def test_an_archive_of_one_large_file_is_refused(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        noise = random.Random(1).randbytes(300_000)  # so that the ratio is no reason
        packed.writestr("MANIFEST.json", noise + b" " * (untrusted.MANIFEST.size_bytes + 1))
        packed.writestr("results.json", b"{}")
    with pytest.raises(OrdealError, match=r"MANIFEST.json is larger than"):
        verify.verify(bomb)


def test_an_archive_whose_directory_has_no_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    size = archive.MAX_DIRECTORY_BYTES + 1
    with path.open("wb") as file:  # sparse
        file.truncate(size)
        file.seek(size)
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, size, 0, 0))
    with pytest.raises(OrdealError, match=f"its directory has {size} bytes"):
        verify.verify(path)


def test_judging_again_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def for_ever(*_: object) -> None:
        while True:
            pass

    monkeypatch.setattr(verify, "_verify", for_ever)
    monkeypatch.setattr(verify, "WITHIN_S", 0.05)
    with pytest.raises(OrdealError, match="is not checked: that takes more than"):
        verify.verify(tmp_path / "bundle.zip")


def test_steps_of_a_fault_and_samples_keep_their_numbers(tmp_path: Path) -> None:
    kept: list[Record] = [
        FaultStep(-1.0, "cut", "landed"),
        Sample(2.0, "bytes", "a", 2**60),
        Sample(3.0, "s", "a", -0.5),
    ]
    loaded = History.load(_recording(tmp_path, *(to_line(each, 5.0) for each in kept)))
    assert list(loaded) == kept
