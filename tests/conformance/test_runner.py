"""Running specs: each result as it ends; a crash or a hang is laid to the spec in flight, and the rest goes on."""

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos.clusters.way import kubeconfig, kubeconfig_files
from chaos.conformance import api_watch, process
from chaos.conformance.listing import Listing, listing
from chaos.conformance.outcome import Reason, SpecOutcome, State
from chaos.conformance.process import ClusterUnderTest, NotStartedError, ProgramProcess
from chaos.conformance.program import E2eProgram, given
from chaos.conformance.runner import Runner, RunnerSettings
from chaos.conformance.spec import Spec
from chaos.errors import OrdealError
from tests.conformance import fake_e2e


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(process, "_LOOK_S", 0.01)
    monkeypatch.setattr(api_watch, "EVERY_S", 0.05)


@pytest.fixture
def program(tmp_path: Path) -> E2eProgram:
    path = tmp_path / "e2e.test"
    path.write_text(f"#!{sys.executable} -S\n{Path(fake_e2e.__file__).read_text()}")
    path.chmod(0o755)
    return E2eProgram(path, "9.9.9")


class Api:
    """It is ready and has nothing, or, while it is away, says that it is not ready."""

    def __init__(self, kubeconfig: Path) -> None:
        api, self.away = self, False

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = b"not ready" if api.away else b"ok" if self.path == "/readyz" else b'{"items": []}'
                self.send_response(500 if api.away else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.kubeconfig = kubeconfig
        url = f"http://127.0.0.1:{self.server.server_address[1]}"
        named = [{"name": "fake", kind: made} for kind, made in (("cluster", {"server": url}), ("user", {}))]
        context = {"name": "fake", "context": {"cluster": "fake", "user": "fake"}}
        config = {"clusters": named[:1], "users": named[1:], "contexts": [context], "current-context": "fake"}
        kubeconfig.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **config}))


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    made = Api(tmp_path / "kubeconfig")
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def run(
    program: E2eProgram, api: Api, tmp_path: Path, *words: str, **settings: float
) -> tuple[list[SpecOutcome], Listing]:
    """Run the specs whose names have one of the words; the outcomes in the order in which they came."""
    known = listing(program)
    specs = [s for s in known.specs if any(word in s.text for word in words)]
    came: list[SpecOutcome] = []
    with Runner(
        program,
        known,
        api.kubeconfig,
        came.append,
        tmp_path / "work",
        RunnerSettings(**{"timeout_s": 20.0, **settings}),  # type: ignore[arg-type]
    ) as runner:
        runner.submit(specs)
        asked = [runner.outcome_of(spec) for spec in specs]
    assert sorted(asked, key=lambda o: o.text) == sorted(came, key=lambda o: o.text)
    return came, known


def test_the_listing_has_every_spec_with_its_labels(program: E2eProgram) -> None:
    known = listing(program)
    assert [s.text for s in known.specs] == [*(t for ts in fake_e2e.SPECS for t in ts), *fake_e2e.SERIAL]
    by_text = known.by_text
    odd = by_text["[sig-node] Pods should pass once in two [Feature:Odd]"]
    assert "Feature:Odd" in odd.labels
    assert not odd.conformance
    assert odd.area == "node"
    assert [known.serial(s) for s in known.specs].count(True) == 2
    assert len(known.group(by_text["[sig-storage] Volumes should be one [Conformance]"])) == 2


def test_results_may_be_in_a_folder_that_is_named_from_here(
    program: E2eProgram, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    came, _ = run(program, api, Path(), "pass [")
    assert [o.state for o in came] == [State.PASSED]


def test_a_crash_is_laid_to_the_spec_in_flight_and_the_rest_goes_on(
    program: E2eProgram, api: Api, tmp_path: Path
) -> None:
    came, _ = run(program, api, tmp_path, "pass [", "crash", "fail", "be one")
    by_name = {o.text.split(" should ")[1].removesuffix(" [Conformance]"): o for o in came}
    assert by_name["pass"].state is State.PASSED
    assert by_name["pass"].took_s == pytest.approx(1.5)
    assert "STEP" in by_name["pass"].output
    crashed = by_name["crash"]
    assert (crashed.state, crashed.reason) == (State.UNKNOWN, Reason.CRASHED)
    assert "panic: it could not go on" in crashed.message
    outputs = [path.read_text() for path in tmp_path.rglob("output.log")]
    assert any("it could not go on, token=(removed)" in text for text in outputs)
    assert not any("abc123" in text for text in outputs)
    assert by_name["fail"].state is State.FAILED
    assert by_name["fail"].message.startswith("expected 1 pod, got 0\n(at pods.go:7)")
    assert by_name["be one"].state is State.PASSED


@pytest.mark.timed
def test_a_hang_is_laid_to_the_spec_in_flight_and_the_rest_goes_on(
    program: E2eProgram, api: Api, tmp_path: Path
) -> None:
    came, _ = run(program, api, tmp_path, "hang", "be one", timeout_s=1.5)
    hung, after = came
    assert (hung.state, hung.reason) == (State.UNKNOWN, Reason.HUNG)
    assert "it was waiting for a pod" in hung.message
    assert after.state is State.PASSED


def test_an_image_that_could_not_be_had_says_nothing_of_the_cluster(
    program: E2eProgram, api: Api, tmp_path: Path
) -> None:
    ((outcome),), _ = run(program, api, tmp_path, "lack")
    assert (outcome.state, outcome.reason) == (State.UNKNOWN, Reason.NO_IMAGE)
    assert "far/away:1" in outcome.message


def test_passed_at_the_second_attempt_is_flaky(program: E2eProgram, api: Api, tmp_path: Path) -> None:
    ((outcome),), _ = run(program, api, tmp_path, "once in two", retries=1)
    assert outcome.flaky
    assert not outcome.passed
    assert "not this time" in outcome.message


@pytest.mark.timed
def test_a_failure_while_the_api_server_is_away_says_nothing_of_the_cluster(
    program: E2eProgram, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_watch, "AWAY_FOR_S", 0.1)
    known = listing(program)
    came: list[SpecOutcome] = []

    def ended(outcome: SpecOutcome) -> None:
        came.append(outcome)
        api.away = True

    specs = [known.specs[0], *(s for s in known.specs if "hang" in s.text)]
    with Runner(program, known, api.kubeconfig, ended, tmp_path / "work", RunnerSettings(timeout_s=1.5)) as runner:
        runner.submit(specs)
        last = runner.outcome_of(specs[-1])
    assert came[0].passed
    assert (last.state, last.reason) == (State.UNKNOWN, Reason.API_AWAY)
    assert "The API server did not answer" in last.message


def test_serial_specs_come_last_in_their_own_order(program: E2eProgram, api: Api, tmp_path: Path) -> None:
    came, known = run(program, api, tmp_path, "Serial", "pass [", "be t", processes=2)
    assert [known.serial(known.by_id[o.spec_id]) for o in came] == [False, False, True, True]
    assert [o.text for o in came[2:]] == fake_e2e.SERIAL
    assert {o.state for o in came} == {State.PASSED}


def test_a_program_that_does_not_start_is_given_up_and_nothing_is_called_passed(
    api: Api, program: E2eProgram, tmp_path: Path
) -> None:
    known = listing(program)
    program.path.write_text("#!/bin/sh\necho no cluster here\nexit 1\n")
    came: list[SpecOutcome] = []
    with Runner(program, known, api.kubeconfig, came.append, tmp_path / "work", RunnerSettings()) as runner:
        runner.submit(known.specs[:3])
        for spec in known.specs[:3]:
            runner.outcome_of(spec)
    assert {(o.state, o.reason) for o in came} == {(State.UNKNOWN, Reason.NOT_STARTED)}
    assert "no cluster here" in came[-1].message


def test_a_spec_that_e2e_test_does_not_have_is_refused(program: E2eProgram, api: Api, tmp_path: Path) -> None:
    with (
        Runner(program, listing(program), api.kubeconfig, lambda _: None, tmp_path, RunnerSettings()) as runner,
        pytest.raises(OrdealError, match="has no spec"),
    ):
        runner.submit([Spec("x", "no such spec", (), "node")])


def test_the_users_own_program_says_its_version(program: E2eProgram, tmp_path: Path) -> None:
    assert given(program.path).version == "9.9.9"
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\necho hello\n")
    other.chmod(0o755)
    with pytest.raises(OrdealError, match=r"is no e2e\.test"):
        given(other)


def test_e2e_test_is_handed_one_file_that_means_the_same_the_context_and_the_environment(
    program: E2eProgram, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    contexts = [{"name": "arn:aws:eks:eu-west-1:1:cluster/x", "context": {"cluster": "fake", "user": "own"}}]
    users = [{"name": "own", "user": {"tokenFile": "token"}}]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "token").write_text("sesame")
    (tmp_path / "mine" / "users").write_text(yaml.safe_dump({"contexts": contexts, "users": users}))
    named = {"KUBECONFIG": f"{tmp_path / 'mine' / 'users'}:{api.kubeconfig}"}
    path, context = kubeconfig_files.find(None, contexts[0]["name"], named)  # type: ignore[arg-type]
    script = tmp_path / "e2e"
    script.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >{tmp_path}/argv\nenv >{tmp_path}/env\nexit 1\n")
    script.chmod(0o755)
    known = listing(program)
    process = ProgramProcess(E2eProgram(script, "9.9.9"), known, ClusterUnderTest(path, context), tmp_path / "work", ())
    with pytest.raises(NotStartedError):
        process.run(known.specs[0], 10.0)
    argv = (tmp_path / "argv").read_text().splitlines()
    assert {f"--kubeconfig={path}", "--context=arn:aws:eks:eu-west-1:1:cluster/x"} <= set(argv)
    handed = kubeconfig.read(path).choose(context)
    assert handed.user.token_file == str(tmp_path / "mine" / "token")
    assert handed.cluster.server.startswith("http://127.0.0.1:")
    assert "HTTPS_PROXY=http://proxy:3128" in (tmp_path / "env").read_text().splitlines()
