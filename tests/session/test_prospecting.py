"""--ordeal-plan in a pytest run: what is told, of which cluster, how it ends, and that nothing is done.

Suites are written here; the existing cluster is an API server that answers by real HTTP.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.harm import load_all
from chaos.hosts import parts, registry
from chaos.hosts.places import journals_dir
from chaos.run.claim import Claim
from chaos.run.policy import POLICY, Policy, written
from chaos.run.suites import replays
from tests.fake_apiserver import FakeApiServer
from tests.session.test_plugin import left_on, run

pytest_plugins = ["pytester"]
load_all()
replays()

SUITE = """
from chaos.clusters.abilities import Heartbeats, NodeExec, NodePower
from chaos.clusters.shape import Shape
from chaos.errors import OrdealError
from chaos.harm.heartbeats import StopHeartbeats
from chaos.harm.node import PowerOff
from chaos.judge.pods import nothing_terminated
from chaos.run.fit import fit_workers
from chaos.run.incident import incident
from chaos.run.promised import judged, says
from chaos.subjects.pleg.faults import StallRuntime

def lost(_):
    return judged(says(nothing_terminated, "web"), harm=(StopHeartbeats,))

@incident(
    "mass-termination", on=("simulated",), needs=(Heartbeats,), controls=("default-tolerations",), promises=lost
)
def test_heartbeats(lab):
    lab.cluster(Shape(workers=5, timers=lab.timers))
    raise SystemExit("something is done")

def stalled(_):
    return judged(says(nothing_terminated, "web"), harm=(StallRuntime,))

@incident("pleg-churn", on=("kind",), needs=(NodeExec,), promises=stalled)
def test_stall(lab):
    node = fit_workers(lab.cluster(Shape(timers=lab.timers)))[-1].name
    with lab.record(), lab.inject(StallRuntime(node)):
        lab.hold(1, "on purpose")

@incident("apiserver-node-loss", on=("kind",), needs=(NodePower,))
def test_power(lab):
    lab.cluster(Shape(timers=lab.timers))

@incident("node-preflight", on=("kind",))
def test_looks(lab):
    lab.cluster(Shape(timers=lab.timers))
    lab.record()

@incident("imagefs-full", on=("kind",))
def test_other_flags(lab):
    lab.cluster(Shape(max_pods=600, timers=lab.timers))

@incident("in-place-upgrade", on=("kind",))
def test_changes_for_good(lab):
    lab.cluster(Shape(timers=lab.timers))
    lab.change_for_good("it is upgraded", "1.35.0")

@incident("hostname-change", on=("kind",))
def test_wrong(lab):
    raise OrdealError("this can't be")

def test_ordinary():
    raise SystemExit("it is run")
"""


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes what this machine has kept, or tries its engine."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr("chaos.session.candidates.simulated_steps", lambda _: ())
    monkeypatch.setattr("chaos.session.prospecting.engine.find", lambda: None)
    monkeypatch.setattr(parts.Part, "lacks", lambda _: "")
    monkeypatch.setattr(registry, "busybox", lambda: "busybox@sha256:1")
    monkeypatch.setenv("COLUMNS", "150")


@pytest.fixture
def folder(pytester: pytest.Pytester) -> Path:
    pytester.makepyfile(test_suite=SUITE)
    return pytester.path


@pytest.fixture
def api(tmp_path: Path) -> Iterator[FakeApiServer]:
    """A control plane and three workers; two may be harmed, the third is not Ready."""
    with FakeApiServer(tmp_path) as made:
        made.put_node("cp1", control_plane=True)
        for name in ("w1", "w2", "w3"):
            made.put_node(name, ready=name != "w3", allowed=name != "w2")
        made.guard = {POLICY: written(Policy())}
        yield made
        assert made.lease is None
        assert not [each for each in made.requests if each.endswith(("/leases", "/namespaces", "/daemonsets"))]


def existing(pytester: pytest.Pytester, api: FakeApiServer, *options: str) -> pytest.RunResult:
    given = ("--ordeal-cluster", "existing", "--ordeal-kubeconfig", str(api.kubeconfig), *options)
    return run(pytester, "--ordeal-plan", *given)


def whys(done: pytest.RunResult) -> dict[str, tuple[str, str]]:
    """By test, of a plan as JSON: what becomes of it, and why."""
    made = json.loads(done.stdout.str())
    return {each["test"].partition("::")[2].partition("[")[0]: (each["fate"], each["why"]) for each in made["replays"]}


AGENTS = ("--ordeal-agent-image", "registry.example/agent:1", "--ordeal-plan-json")


# --- clusters that are made


def test_what_would_run_is_told_and_nothing_is_done(pytester: pytest.Pytester, folder: Path) -> None:
    done = run(pytester, "--ordeal-plan", "--ordeal-cluster", "simulated", "-k", "heartbeats or ordinary")
    assert done.ret == 0
    done.stdout.fnmatch_lines(
        [
            "clusters are made here, of Kubernetes *",
            "mass-termination: *",
            "  test_heartbeats ?simulated-hardened, simulated-control:default-tolerations?",
            "    would run on a simulated cluster of 6 nodes that is made for it",
            "    does stop-heartbeats: Stop the heartbeats of groups of nodes, *",
            "    is judged by nothing_terminated",
            "    needs Heartbeats",
            "plan: 2 would run, 1 tests of other kind",
            "*3/9 tests collected*",
        ],
    )
    assert not (folder / "results").exists()
    assert not list(journals_dir().iterdir())


def test_it_honours_what_chooses_replays(pytester: pytest.Pytester, folder: Path) -> None:
    simulated = ("--ordeal-cluster", "simulated", "-q")
    done = run(pytester, "--ordeal-plan", *simulated, "-k", "heartbeats", "--ordeal-no-controls")
    assert [line for line in done.outlines if line.startswith("plan: ")] == ["plan: 1 would run"]
    done = run(pytester, "--plan", *simulated, "-k", "heartbeats", "-n", "2")
    assert [line for line in done.outlines if line.startswith("plan: ")] == ["plan: 2 would run"]
    done = run(pytester, "--ordeal-plan", *simulated, "-k", "nothing_of_that_name")
    assert done.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    done = run(pytester, "--ordeal-plan", *simulated, "-k", "power")
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    assert "plan: 1 skipped, nothing would be replayed" in done.outlines


def test_what_can_not_be_collected_is_no_plan(pytester: pytest.Pytester, folder: Path) -> None:
    (folder / "test_broken.py").write_text("import nothing_of_that_name\n")
    done = run(pytester, "--ordeal-plan")
    assert done.ret == pytest.ExitCode.INTERRUPTED
    assert "plan: " not in done.stdout.str()
    given = ("--continue-on-collection-errors", "--ordeal-cluster", "simulated")
    done = run(pytester, "--ordeal-plan", *given)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    assert "plan: 2 would run, 6 skipped, 1 tests of other kind" in done.outlines


def test_what_a_plugin_runs_all_the_same_does_nothing(pytester: pytest.Pytester, folder: Path) -> None:
    pytester.makeconftest(
        "import pytest\n"
        "@pytest.hookimpl(tryfirst=True, wrapper=True)\n"
        "def pytest_runtestloop(session):\n"
        "    yield\n"
        "    for item in session.items:\n"
        "        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)\n"
        "    return True\n"
    )
    done = run(pytester, "--ordeal-plan", "--ordeal-cluster", "simulated", "-k", "heartbeats")
    assert done.ret == 2
    assert "--ordeal-plan replays nothing" in done.stdout.str() + done.stderr.str()
    assert not (folder / "results").exists()


def test_what_is_not_set_up_yet_is_told(
    pytester: pytest.Pytester, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = {"kind": ("container engine", "node image")}
    monkeypatch.setattr("chaos.session.prospecting.lacking_steps", lambda *_: lacking)
    monkeypatch.setattr("chaos.run.stage.obstacle", lambda *_: "")
    given = ("--ordeal-plan", "--ordeal-cluster", "kind", "-k", "looks")
    done = run(pytester, *given)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(
        [
            "  for kind set-up has still to do (kube-ordeal setup, or --ordeal-setup): *",
            "    would be unknown: *",
            "plan: 1 would be unknown, nothing would be replayed",
        ]
    )
    assert run(pytester, *given, "--ordeal-setup").ret == 0


# --- an existing cluster


def test_its_nodes_its_owner_and_each_reason_are_told(
    pytester: pytest.Pytester, folder: Path, api: FakeApiServer
) -> None:
    done = existing(pytester, api, "--ordeal-agent-image", "registry.example/agent:1")
    assert done.ret == 0
    about = "Fitting Linux, 6.1.0-fit, containerd://2.1.4"
    done.stdout.fnmatch_lines(
        [
            f"cluster: {api.url}*, Kubernetes 1.34.4",
            "  its nodes are reached through agents of the image registry.example/agent:1,*",
            f"  cp1  control plane  {about}  the guard allows no*",
            f"  w1   worker         {about}  may be harmed",
            f"  w2   worker         {about}  no replay takes it, it*",
            "  not known before an agent is there: modules of their kernels, programs, SELinux",
            "  test_stall ?existing-hardened?",
            "    would run and harm w1",
            "    does stall-runtime: Stop containerd with SIGSTOP, so that it takes connections and*",
            "    on a node: programs kill, systemctl",
        ]
    )


def test_each_reason_is_the_one_that_a_run_gives(pytester: pytest.Pytester, folder: Path, api: FakeApiServer) -> None:
    api.put_node("w3")  # a run waits for every node
    told = whys(existing(pytester, api, "--ordeal-plan-json"))
    assert {test: fate for test, (fate, _) in told.items()} == {
        "test_heartbeats": "skipped",
        "test_stall": "skipped",
        "test_power": "skipped",
        "test_looks": "runs",
        "test_other_flags": "skipped",
        "test_changes_for_good": "skipped",
        "test_wrong": "fails",
    }
    given = ("--ordeal-cluster", "existing", "--ordeal-kubeconfig", str(api.kubeconfig), "-rs", "-k", "not ordinary")
    said = " ".join(run(pytester, *given).stdout.str().split())
    api.requests.clear()  # a run does claim it
    assert "does stall-runtime; needs NodeExec; on a node: programs kill, systemctl" in said, "before it begins"
    for test, (fate, why) in told.items():
        assert why in said, test
        assert bool(why) == (fate != "runs")


def test_a_plan_for_programs_is_all_of_standard_output(
    pytester: pytest.Pytester, folder: Path, api: FakeApiServer
) -> None:
    done = existing(pytester, api, *AGENTS, "-k", "stall or power")
    made = json.loads(done.stdout.str())
    assert made["would_run"] == 1
    assert made["cluster"]["agents_on"] == ["w1"]
    assert made["cluster"]["agent_image"] == "registry.example/agent:1"
    assert [each["refused"] == "" for each in made["cluster"]["nodes"]] == [False, True, False, True]
    power, stall = sorted(made["replays"], key=lambda each: str(each["incident"]))
    assert power["needs"] == [
        {"what": "NodePower", "lacks": "the cluster does not have it", "option": "--ordeal-power"}
    ]
    assert (stall["takes"], stall["does"][0]["uses"]["programs"]) == (["w1"], ["kill", "systemctl"])
    assert "collected" in done.stderr.str()


def test_an_option_that_would_give_what_lacks_is_named(
    pytester: pytest.Pytester, folder: Path, api: FakeApiServer
) -> None:
    done = existing(pytester, api, "-k", "stall or looks")
    done.stdout.fnmatch_lines(
        [
            "    skipped: pleg-churn needs NodeExec, which this cluster does not have",
            "    that is given by --ordeal-agent-image",
        ]
    )


def test_what_the_owner_does_not_allow_is_refused(pytester: pytest.Pytester, folder: Path, api: FakeApiServer) -> None:
    api.guard = None
    done = existing(pytester, api, "--ordeal-agent-image", "registry.example/agent:1", "-k", "stall")
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(
        [
            "nothing would begin now: the cluster has no guard: its owner makes one with `kube-ordeal guard init`*",
            "    refused, as said above",
            "    does stall-runtime: *",
            "plan: 1 refused, nothing would be replayed",
        ]
    )
    api.guard = {POLICY: written(Policy(faults=("cut-off",)))}
    assert existing(pytester, api, "-k", "looks").ret == 0, "who only looks does nothing that it would have to name"


def test_rights_that_lack_are_named(pytester: pytest.Pytester, folder: Path, api: FakeApiServer) -> None:
    api.forbidden = {("list", "nodes")}
    done = existing(pytester, api)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(
        ["nothing would begin now: the kubeconfig's user may not list nodes (in all namespaces)*"]
    )


def test_a_cluster_that_another_run_has_is_told(pytester: pytest.Pytester, folder: Path, api: FakeApiServer) -> None:
    with Claim(api.client, "run x of ann on host-1"):
        done = existing(pytester, api, "-k", "looks")
    api.requests.clear()
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    assert "nothing would begin now: the cluster is claimed by run x of ann on host-1" in done.stdout.str()
    assert "    refused, as said above" in done.outlines


def test_a_stop_command_is_asked(pytester: pytest.Pytester, folder: Path, api: FakeApiServer) -> None:
    assert existing(pytester, api, "-k", "looks", "--ordeal-stop-command", "true").ret == 0
    done = existing(pytester, api, "-k", "looks", "--ordeal-stop-command", "sh -c 'echo page; exit 3'")
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    assert "of --ordeal-stop-command ends all harm: it exited with 3: page" in " ".join(done.stdout.str().split())


def test_what_earlier_runs_left_is_told_and_left(pytester: pytest.Pytester, folder: Path, api: FakeApiServer) -> None:
    left_on(api)
    before = [path.read_bytes() for path in journals_dir().iterdir()]
    done = existing(pytester, api, "-k", "looks")
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    assert "`kube-ordeal undo` undoes it, or give --ordeal-undo" in " ".join(done.stdout.str().split())
    assert [path.read_bytes() for path in journals_dir().iterdir()] == before
    assert existing(pytester, api, "-k", "looks", "--ordeal-undo").ret == 0


def test_an_api_server_that_hangs_or_is_away_is_one_sentence(
    pytester: pytest.Pytester, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeApiServer(tmp_path) as away:
        pass
    done = existing(pytester, away)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    said = " ".join(done.stdout.str().split())
    assert said.count("does not answer (") == 1
    assert "plan: " in said
    assert "Traceback" not in said
    done = run(pytester, "--ordeal-plan", "--ordeal-cluster", "existing")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert "there is no kubeconfig" in done.stderr.str()
