"""A replay's trace, as an OpenTelemetry collector takes it: the real one, built from its Go modules, on loopback."""

import hashlib
import re
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra [otel] is not installed")

from chaos.agent.server import free_port
from chaos.basics.waiting import eventually
from chaos.exports.receivers import of_traces
from chaos.exports.traces import Traces, trace_id
from chaos.hosts import go
from chaos.hosts.places import cache_dir
from chaos.results.saved import load
from tests.exports.test_story import A_CUT
from tests.integration.test_receivers import LOOPBACK, serving
from tests.report.made import RUN, history, outcome, results

MODULE = Path(__file__).parent / "collector"
CONFIG = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
exporters: {{debug: {{verbosity: detailed}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}}}
"""


@pytest.fixture(scope="module")
def collector() -> Path:
    """The program, built into the cache where it is not there."""
    sources = b"".join(path.read_bytes() for path in sorted(MODULE.iterdir()))
    made = cache_dir() / f"otel-collector-{hashlib.sha256(sources).hexdigest()[:12]}"
    if not made.is_file():
        scratch = made.with_suffix(".new")
        arguments = ["build", "-trimpath", "-ldflags=-s -w", "-o", str(scratch), "."]
        go.build("a collector of OpenTelemetry", arguments, cwd=MODULE, env={"CGO_ENABLED": "0"}, report=print)
        scratch.rename(made)
    return made


@pytest.mark.nightly("builds a collector of OpenTelemetry, which takes minutes; others decode traces by its protocol")
def test_a_collector_takes_the_trace_of_a_replay(collector: Path, tmp_path: Path) -> None:
    made = results(tmp_path)
    made.add(outcome(histories=[history(made, A_CUT)]))
    run, port, log = load(tmp_path), free_port(LOOPBACK), tmp_path / "collector.log"
    with serving([str(collector), f"--config=yaml:{CONFIG.format(port=port)}"], port, log) as url:
        traces = Traces(of_traces(url, {}))
        traces.replay_ended(run, run.outcomes[0].test)
        assert traces.run_ended(run, 60.0) == ""
        eventually(lambda: "harm cut" in log.read_text(), within_s=30, what="the collector to write it", every_s=0.02)
    said = log.read_text()
    assert set(re.findall(r"Trace ID +: (\w+)", said)) == {f"{trace_id(RUN, run.outcomes[0].test):032x}"}
    assert re.findall(r" Name +: (.+)", said) == ["replay mass-termination", "fault", "harm cut", "hold", "recover"]
    assert "service.name: Str(kube-ordeal)" in said
    assert "ordeal.verdict: Str(held)" in said
    assert re.findall(r"Status code +: (\w+)", said)[0] == "Ok"
