"""Traces as a receiver of OTLP decodes them, by the protocol's own messages; and receivers that do not take them."""

import gzip
import hashlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra [otel] is not installed")

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace.export import SpanExportResult

from chaos.basics.waiting import eventually
from chaos.exports import way
from chaos.exports.outbox import THREAD
from chaos.exports.receivers import Receiver, of_traces
from chaos.exports.story import FIGURES
from chaos.exports.traces import CREDENTIALS, Traces, trace_id
from chaos.judge.base import Verdict
from chaos.record.records import FaultStep, HarmLook
from chaos.record.registry import Record
from chaos.results.saved import SavedRun, load
from tests.canaries import CANARY
from tests.exports.listening import OTLP, Answer, Asked, Listener, hanging, nobody, receiver
from tests.exports.test_story import A_CUT, BEGAN
from tests.nasty import NASTY, acts
from tests.report.made import RUN, finding, history, outcome, results

NOT_TAKEN = ExportTraceServiceResponse()
NOT_TAKEN.partial_success.rejected_spans = 3
NOT_TAKEN.partial_success.error_message = f"too old\x1b[2J password={CANARY}"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of OpenTelemetry's is set in the environment, and no proxy."""
    for name in ("HEADERS", "TIMEOUT", "COMPRESSION", "CERTIFICATE", "ENDPOINT"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_TRACES_{name}", raising=False)
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(tmp_path: Path) -> SavedRun:
    """One that held."""
    made = results(tmp_path)
    made.add(outcome(histories=[history(made, A_CUT)]))
    return load(tmp_path)


def sent(run: SavedRun, url: str, timeout_s: float | None = None) -> str:
    """What is told at the end of the run, after its replays were sent to that receiver."""
    traces = Traces(of_traces(url, {}), timeout_s)
    for each in run.outcomes:
        traces.replay_ended(run, each.test)
    return traces.run_ended(run, 30.0)


def decoded(asked: Asked) -> tuple[dict[str, Any], list[Span]]:
    """The resource of a request, and its spans."""
    body = gzip.decompress(asked.body) if asked.headers["Content-Encoding"] == "gzip" else asked.body
    (of,) = ExportTraceServiceRequest.FromString(body).resource_spans
    (scope,) = of.scope_spans
    assert scope.scope.name == "kube-ordeal"
    return attributes(of.resource), list(scope.spans)


def attributes(of: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


def test_a_receiver_decodes_what_the_replay_was(run: SavedRun) -> None:
    with receiver() as to:
        assert sent(run, to.url) == ""
    (asked,) = to.asked
    assert (asked.method, asked.path, asked.headers["Content-Type"]) == ("POST", "/v1/traces", "application/x-protobuf")
    resource, (root, *parts) = decoded(asked)
    assert resource["service.name"] == "kube-ordeal"
    assert (resource["service.version"], resource["service.instance.id"]) == (run.version, RUN)
    assert (root.name, root.parent_span_id, root.status.code) == ("replay mass-termination", b"", Status.STATUS_CODE_OK)
    about = attributes(root)
    assert about["test.case.name"] == run.outcomes[0].test
    assert (about["ordeal.verdict"], about["ordeal.variant"]) == ("held", "hardened")
    assert "ordeal.control" not in about
    (found,) = root.events
    assert (found.name, attributes(found)["ordeal.figure.pods"]) == ("finding", 6)
    assert [each.name for each in parts] == ["fault", "harm cut", "hold", "recover"]
    assert {each.parent_span_id for each in parts} == {root.span_id}
    assert len({each.span_id for each in (root, *parts)}) == 5
    harm = parts[1]
    assert round(harm.start_time_unix_nano / 1e9 - BEGAN, 3) == 1.1
    assert [each.name for each in harm.events] == ["planned", "applied", "landed", "undoing", "undone"]
    assert root.start_time_unix_nano <= min(each.start_time_unix_nano for each in parts)
    assert root.end_time_unix_nano >= max(each.end_time_unix_nano for each in parts)


def test_the_trace_is_found_by_the_run_and_the_test(run: SavedRun) -> None:
    test = run.outcomes[0].test
    with receiver() as to:
        sent(run, to.url)
        sent(run, to.url)
    first, again = (decoded(each)[1] for each in to.asked)
    by_hand = hashlib.sha256(f"{RUN} {test}".encode()).hexdigest()[:32]
    assert first[0].trace_id.hex() == by_hand == f"{trace_id(RUN, test):032x}"
    assert [(each.trace_id, each.span_id) for each in first] == [(each.trace_id, each.span_id) for each in again]


def test_what_did_not_pass_is_an_error(tmp_path: Path) -> None:
    made = results(tmp_path)
    made.add(outcome(finding(Verdict.UNKNOWN), why="the fault did not land"))
    with receiver() as to:
        assert sent(load(tmp_path), to.url) == ""
    (root,) = decoded(to.asked[0])[1]
    assert (root.status.code, root.status.message) == (Status.STATUS_CODE_ERROR, "unknown: the fault did not land")


def test_the_environment_says_what_is_sent_along(run: SavedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"x-api-key={CANARY}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=ours,team=a")
    with receiver() as to:
        assert sent(run, to.url) == ""
    assert to.asked[0].headers["x-api-key"] == CANARY
    resource, _ = decoded(to.asked[0])
    assert (resource["service.name"], resource["team"]) == ("ours", "a")


@pytest.mark.parametrize("limit", ["", "5"])
def test_what_is_much_leaves_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    for of in ("ATTRIBUTE", "EVENT_ATTRIBUTE", "SPAN_ATTRIBUTE", "SPAN_EVENT"):
        if limit:
            monkeypatch.setenv(f"OTEL_{of}_COUNT_LIMIT", limit)
    made = results(tmp_path)
    measured: Any = {"nodes": 5, **{f"ready_s_{n}": n for n in range(2 * FIGURES)}}
    looks = [HarmLook(1.0 + n / 1_000, "cut", 1, "gone") for n in range(300)]
    cut: list[Record] = [FaultStep(1.0, "cut", "planned"), *looks, FaultStep(2.0, "cut", "undone")]
    made.add(outcome(finding(Verdict.VIOLATED, reason="late", **measured), histories=[history(made, cut)]))
    with receiver() as to:
        assert sent(load(tmp_path), to.url) == ""
    root, harm = decoded(to.asked[0])[1]
    assert attributes(root)["ordeal.run.id"] == RUN
    (found,) = map(attributes, root.events)
    assert (found["ordeal.verdict"], found["ordeal.reason"], found["ordeal.figure.nodes"]) == ("violated", "late", 5)
    assert found["ordeal.figures_left_out"] == FIGURES + 1
    assert len([each for each in found if each.startswith("ordeal.figure.")]) == FIGURES
    assert [each.name for each in harm.events] == ["planned", *["gone"] * 300, "undone"]


def test_nothing_that_others_said_acts_or_is_a_secret(tmp_path: Path) -> None:
    made = results(tmp_path)
    said = f"{NASTY} password={CANARY}"
    measured: Any = {"a\x1b": said}
    made.add(outcome(finding(Verdict.UNKNOWN, name=NASTY, sentence=said, reason=said, **measured), why=said))
    run = load(tmp_path)
    run.path.write_text(run.path.read_text().replace("(removed)", CANARY))  # by somebody else's hand
    with receiver() as to:
        assert sent(load(tmp_path), to.url) == ""
    (root,) = decoded(to.asked[0])[1]
    texts = [root.name, root.status.message]
    for each in (root, *root.events):
        texts += [*map(str, attributes(each).values()), *attributes(each)]
    assert [told for each in texts if (told := acts(each))] == []
    assert CANARY.encode() not in to.asked[0].body


# --- receivers that take nothing


def take(_: Asked) -> Answer:
    return Answer(headers=OTLP)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(400, b"\x1b[2Jforged"), "it refused with status 400"),
        (Answer(404), "it refused with status 404"),
        (Answer(401, b"x" * 100_000), f"it lets nobody in without credentials (status 401): {CREDENTIALS}"),
        (Answer(403), f"it lets nobody in without credentials (status 403): {CREDENTIALS}"),
        (
            Answer(200, b"<html>welcome</html>", {"Content-Type": "text/html"}),
            "its answer is none of OTLP's: is it a rec",
        ),
        (Answer(200, b"[]", {"Content-Type": "application/json"}), "its answer is none of OTLP's"),
        (Answer(200, b"{", {"Content-Type": "application/json"}), "its answer is none of OTLP's"),
        (Answer(200, NOT_TAKEN.SerializeToString(), OTLP), r"it rejected 3 spans: too old\x1b[2J password=(removed)"),
        (Answer(raw=b"SSH-2.0-OpenSSH_9.2\r\n"), "it can't be reached, or broke the connection off"),
        (Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab"), "what it answered can't be read"),
        (Answer(raw=b""), "it can't be reached, or broke the connection off"),
    ],
)
def test_a_receiver_that_does_not_take_it_is_one_sentence(run: SavedRun, answer: Answer, says: str) -> None:
    with receiver(lambda _: answer) as to:
        told = sent(run, f"{to.url}/{CANARY}", 0.5)
    assert told.startswith(f"1 of 1 traces were not sent to {to.url}: {says}")
    assert CANARY not in told
    assert acts(told, one_line=True) == ""


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(run: SavedRun, status: int) -> None:
    with receiver() as elsewhere:
        with receiver(lambda _: Answer(status, headers={"Location": f"{elsewhere.url}/v1/traces"})) as to:
            told = sent(run, to.url)
        assert told.endswith(
            f": it leads elsewhere (status {status}), and no redirect is followed: name the address it leads to"
        )
    assert elsewhere.asked == []


def test_a_receiver_that_comes_up_later_gets_it(run: SavedRun) -> None:
    answers = iter([Answer(503, headers={"Retry-After": "0"}), Answer(headers=OTLP)])
    with receiver(lambda _: next(answers)) as to:
        assert sent(run, to.url) == ""
    assert len(to.asked) == 2


def test_nobody_who_listens_is_one_sentence(run: SavedRun) -> None:
    with nobody() as url:
        assert sent(run, url, 0.2) == f"1 of 1 traces were not sent to {url}: connection refused"
    told = sent(run, "http://nobody.invalid", 0.2)
    assert told.startswith("1 of 1 traces were not sent to http://nobody.invalid: it")


def test_what_speaks_no_tls_is_told(run: SavedRun) -> None:
    with receiver(take) as to:
        assert "TLS failed" in sent(run, to.url.replace("http:", "https:"), 1.0)


@pytest.fixture
def hangs() -> Iterator[Listener]:
    with hanging() as to:
        yield to


def test_a_receiver_that_hangs_is_not_waited_for(run: SavedRun, hangs: Listener) -> None:
    traces = Traces(Receiver(f"{hangs.url}/v1/traces"))
    for _ in range(3):
        traces.replay_ended(run, run.outcomes[0].test)  # returns at once
    assert traces.run_ended(run, 0.05) == f"3 of 3 traces were not sent to {hangs.url}: no answer came in time"


def test_its_own_time_ends_it_too(run: SavedRun, hangs: Listener) -> None:
    assert sent(run, hangs.url, 0.1) == f"1 of 1 traces were not sent to {hangs.url}: it did not answer in time"


def test_nothing_is_logged(run: SavedRun, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"{CANARY} without a sign")
    with caplog.at_level(logging.DEBUG), receiver(lambda _: Answer(418)) as to:
        sent(run, f"{to.url}/{CANARY}?key={CANARY}")
        assert CANARY in to.asked[0].path
        logging.getLogger("opentelemetry.util.re").warning("somebody else's")
        logging.getLogger("urllib3.connectionpool").warning("and another's")
    ours = [each for each in caplog.records if each.name.startswith(("opentelemetry", "urllib3"))]
    assert [each.message for each in ours] == ["somebody else's", "and another's"]
    assert CANARY not in caplog.text


def test_a_receiver_on_this_machine_is_asked_without_a_proxy(run: SavedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    with nobody() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.setenv("http_proxy", proxy)
        with receiver() as to:
            assert sent(run, to.url) == ""


def test_little_of_an_answer_is_read(run: SavedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = ExportTraceServiceResponse()
    taken.partial_success.error_message = "x" * 1_000
    with receiver(lambda _: Answer(200, taken.SerializeToString(), OTLP)) as to:
        assert sent(run, to.url) == ""
        monkeypatch.setattr(way, "MOST_BYTES", 10)
        assert "its answer is none of OTLP's" in sent(run, to.url)  # for half of a message is none


def test_a_netrc_changes_no_credentials(run: SavedRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text(f"default login else password {CANARY}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20ours")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with receiver() as to:
        monkeypatch.setenv("http_proxy", to.url)  # so that a host that is not this machine answers
        for url in ("http://otlp.example", "http://me:secret@otlp.example"):
            assert sent(run, url) == ""
    assert [each.headers["Authorization"] for each in to.asked] == ["Bearer ours", "Basic bWU6c2VjcmV0"]


def test_what_became_of_one_trace_is_not_told_of_the_next(run: SavedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(lambda _: Answer(400)) as to:
        made = Traces(of_traces(to.url, {}))
        made.replay_ended(run, run.outcomes[0].test)
        eventually(lambda: made._outbox._done == 1, within_s=30, what="the first trace to be refused", every_s=0.02)
        monkeypatch.setattr(OTLPSpanExporter, "export", lambda *_: SpanExportResult.FAILURE)
        made.replay_ended(run, run.outcomes[0].test)
        told = made.run_ended(run, 30.0)
    assert told == f"2 of 2 traces were not sent to {to.url}: it refused with status 400; it was not sent"


def test_a_replay_that_can_not_be_told_is_counted(run: SavedRun) -> None:
    (run.folder / run.outcomes[0].histories[0]).unlink()
    with receiver() as to:
        told = sent(run, to.url)
    assert told.startswith(f"1 of 1 traces were not sent to {to.url}: test_x/history/0.jsonl is missing")
    assert to.asked == []


def test_a_replay_without_a_verdict_has_no_trace(tmp_path: Path) -> None:
    made = results(tmp_path)
    made.begin("t", "mass-termination", cluster="kind", profile="smoke")
    with receiver() as to:
        assert sent(load(tmp_path), to.url) == ""
    assert to.asked == []


def test_a_replay_whose_end_nobody_told_is_sent_with_the_run(run: SavedRun) -> None:
    with receiver() as to:
        traces = Traces(of_traces(to.url, {}))
        assert traces.run_ended(run, 30.0) == ""
    (asked,) = to.asked
    assert attributes(decoded(asked)[1][0])["test.case.name"] == run.outcomes[0].test


def test_a_trace_for_which_no_thread_can_be_had_is_counted(run: SavedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    started = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == THREAD:
            raise RuntimeError("can't start new thread")
        started(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    assert sent(run, "http://host") == "1 of 1 traces were not sent to http://host: it failed (RuntimeError)"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        (
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            f"/{CANARY}",
            "a certificate or a key that the environment names can't be read",
        ),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b%0Ac", "the settings in the environment can't be used"),
    ],
)
def test_settings_that_can_not_be_used_are_one_sentence(
    run: SavedRun, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    told = sent(run, "https://127.0.0.1:1", 0.2)
    assert says in told
    assert CANARY not in told
