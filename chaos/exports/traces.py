"""Traces of replays, as OpenTelemetry's own library makes and sends them. Needs the extra `otel`.

A replay is a trace: its root is the replay, below it are its phases and each harm. The ids are made of the run and the
test, so that who has the results finds the trace, and one that is sent twice is one.
"""

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from google.protobuf.message import DecodeError
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.environment_variables import OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context

from chaos.errors import OrdealError
from chaos.exports.outbox import Outbox, sentence
from chaos.exports.receivers import Receiver
from chaos.exports.story import FIGURES, PARTS, Episode, Story, story_of
from chaos.exports.way import Guarded, Reply, refused, session
from chaos.exports.words import shown, why_of
from chaos.hosts.places import APP
from chaos.judge.base import Figure
from chaos.results.saved import SavedRun

ATTRIBUTES = FIGURES + 20  # of a span or an event, more than a story has
TEXT = 4_000  # characters of an attribute
UNSENT = "it was not sent"  # nor does anybody say why
CREDENTIALS = "OTEL_EXPORTER_OTLP_HEADERS has the headers that are sent"
# host.arch, by what the kernel calls it: OpenTelemetry's semantic conventions have names of their own.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def trace_id(run: str, test: str) -> int:
    """The id of a replay's trace: the first 16 bytes of the SHA-256 of "RUN TEST"."""
    return int.from_bytes(hashlib.sha256(f"{run} {test}".encode(errors="backslashreplace")).digest()[:16], "big")


def spans_of(run: SavedRun, test: str, story: Story) -> Sequence[ReadableSpan]:
    """The spans of a replay's trace, the root first."""
    made = InMemorySpanExporter()
    ids = _Ids(trace_id(run.id, test))
    # At one of the library's own limits the first ones go, and those say most. A story has ends of its own.
    limits = SpanLimits(
        max_events=PARTS,
        max_attributes=ATTRIBUTES,
        max_span_attributes=ATTRIBUTES,
        max_event_attributes=ATTRIBUTES,
    )
    provider = TracerProvider(
        sampler=ALWAYS_ON,
        resource=_resource(run),
        id_generator=ids,
        shutdown_on_exit=False,
        span_limits=limits,
    )
    provider.add_span_processor(SimpleSpanProcessor(made))
    tracer = provider.get_tracer(APP, run.version)
    root = _span(tracer, story.whole, None)
    if story.left_out:
        root.set_attribute("ordeal.parts_left_out", story.left_out)
    root.set_status(Status(StatusCode.ERROR, _text(story.whole.problem)) if story.whole.problem else StatusCode.OK)
    root.end(_ns(story.whole.end))
    for part in story.parts:
        span = _span(tracer, part, root)
        if part.problem:
            span.set_status(Status(StatusCode.ERROR, _text(part.problem)))
        span.end(_ns(part.end))
    return made.get_finished_spans()


class Traces:
    """The traces of replays, to one receiver. Headers, certificates, compression and the time that an answer may take
    are those of the environment, by OpenTelemetry's names for them.
    """

    hears_replays = True

    def __init__(self, to: Receiver, timeout_s: float | None = None) -> None:
        """`timeout_s`: for one trace, with all tries; None: what the environment says, else 10 s."""
        self._to, self._timeout_s = to, timeout_s
        self._guarded = Guarded(_judged)
        self._exporter: OTLPSpanExporter | None = None
        self._outbox, self._replays, self._unmade = Outbox(), 0, Counter[str]()
        self._told = set[str]()  # tests

    def replay_ended(self, run: SavedRun, test: str) -> None:
        outcome = next((each for each in reversed(run.outcomes) if each.test == test and each.ended), None)
        if outcome is None:
            return
        self._replays += 1
        self._told.add(test)
        try:
            self._outbox.put(partial(self._send, spans_of(run, test, story_of(run, outcome))))
        except Exception as error:  # noqa: BLE001  (no export may be the end of a run)
            self._unmade[why_of(error)] += 1

    def run_ended(self, run: SavedRun, within_s: float) -> str:
        until = time.monotonic() + within_s
        for test in dict.fromkeys(each.test for each in run.outcomes):
            if test not in self._told:  # its end was not told: it was interrupted
                self.replay_ended(run, test)
        failures = Counter(self._outbox.close(max(0.0, until - time.monotonic()))) + self._unmade
        return sentence(f"{failures.total()} of {self._replays} traces were not sent to {self._to}", failures)

    def _send(self, spans: Sequence[ReadableSpan]) -> None:
        """In the outbox's thread. Raises OrdealError with what became of it."""
        self._guarded.forget()
        try:
            if self._exporter is None:
                way = session(self._to.url, self._guarded)
                self._exporter = OTLPSpanExporter(self._to.url, timeout=self._timeout_s, session=way)
            result = self._exporter.export(spans)
        except Exception as error:
            raise OrdealError(self._guarded.why or UNSENT) from error
        if self._guarded.why or result is not SpanExportResult.SUCCESS:
            raise OrdealError(self._guarded.why or UNSENT)


def _judged(reply: Reply) -> str:
    """What is wrong with an answer: a receiver that took a trace answers with a message of the protocol, or nothing."""
    if why := refused(reply, CREDENTIALS):
        return why
    if reply.type.startswith("application/json"):
        try:
            return "" if isinstance(json.loads(reply.body or b"{}"), dict) else "its answer is none of OTLP's"
        except ValueError:
            return "its answer is none of OTLP's"
    try:
        taken = ExportTraceServiceResponse.FromString(reply.body)
    except DecodeError:
        return "its answer is none of OTLP's: is it a receiver of OTLP over HTTP?"
    lost, said = taken.partial_success.rejected_spans, _text(taken.partial_success.error_message)
    return f"it rejected {lost} spans{f': {said}' if said else ''}" if lost else ""


def _resource(run: SavedRun) -> Resource:
    """What sends, by OpenTelemetry's conventions; what the environment says of it goes before."""
    architecture = run.machine.get("architecture", "")
    about = {
        "service.version": _text(run.version),
        "service.instance.id": _text(run.id),
        "os.type": "linux",
        "host.arch": _ARCHITECTURES.get(architecture, _text(architecture)),
    }
    said = os.environ.get(OTEL_RESOURCE_ATTRIBUTES, "")
    named = {each.partition("=")[0].strip() for each in said.split(",")}
    if not os.environ.get(OTEL_SERVICE_NAME) and "service.name" not in named:
        about["service.name"] = APP
    return Resource.create({name: value for name, value in about.items() if value and name not in named})


class _Ids(IdGenerator):
    """The ids of one trace: always the same for the same replay."""

    def __init__(self, trace: int) -> None:
        self._trace, self._spans = trace, 0

    def generate_trace_id(self) -> int:
        return self._trace

    def generate_span_id(self) -> int:
        self._spans += 1
        return int.from_bytes(hashlib.sha256(f"{self._trace:032x} {self._spans}".encode()).digest()[:8], "big")


def _span(tracer: Tracer, told: Episode, parent: Span | None) -> Span:
    within = None if parent is None else set_span_in_context(parent)
    span = tracer.start_span(_text(told.name), within, attributes=_attributes(told.about), start_time=_ns(told.start))
    for moment in told.moments:
        span.add_event(_text(moment.name), _attributes(moment.about), _ns(moment.at))
    return span


def _attributes(about: Mapping[str, Figure]) -> dict[str, str | int | float]:
    return {
        _text(name): _text(value) if isinstance(value, str) else value for name, value in about.items() if value != ""
    }


def _text(text: str) -> str:
    return shown(text, TEXT)


def _ns(unix_s: float) -> int:
    return int(unix_s * 1e9)
