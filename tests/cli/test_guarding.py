"""The commands of a cluster's owner: the guard is written, shown, and all harm halted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos.clusters.way.client import CONTROL_PLANE_LABEL
from chaos.hosts.places import manifests_dir
from chaos.run import guard
from chaos.run.claim import HARMED
from chaos.run.policy import HALT, POLICY, PodsReady, Policy, read, written
from tests.cli.test_cli import Ended, Home, refused
from tests.fake_apiserver import FakeApiServer


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    return Home(tmp_path)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[FakeApiServer]:
    """A cluster of two nodes and a control plane."""
    with FakeApiServer(tmp_path) as made:
        made.guard = None
        made.put("nodes", "w1", metadata={"labels": {"kube-ordeal/allowed": "true"}})
        made.put("nodes", "w2")
        made.put("nodes", "cp1", metadata={"labels": {CONTROL_PLANE_LABEL: "", "kube-ordeal/allowed": "true"}})
        yield made


def of_owner(home: Home, api: FakeApiServer, *arguments: str) -> Ended:
    return home.run(*arguments, "--kubeconfig", str(api.kubeconfig), "--context", "fake")


def policy_of(api: FakeApiServer) -> Policy:
    assert api.guard is not None
    return read(api.guard[POLICY])


# --- rights


@pytest.mark.parametrize(("options", "kinds"), [((), {"ClusterRole"}), (("--fence",), {"ValidatingAdmissionPolicy"})])
def test_rights_are_printed_as_they_are_to_be_applied(home: Home, options: tuple[str, ...], kinds: set[str]) -> None:
    done = home.run("guard", "rights", *options)
    assert (done.code, done.err) == (0, "")
    files = ("runner.yaml", "fence.yaml") if options else ("runner.yaml",)
    wanted = [each for file in files for each in yaml.safe_load_all((manifests_dir() / "rights" / file).read_text())]
    printed = list(yaml.safe_load_all(done.out))
    assert printed == wanted
    assert kinds <= {each["kind"] for each in printed}


# --- init


def test_init_prints_a_guard_and_needs_no_cluster(home: Home) -> None:
    done = home.run("guard", "init", "--print")
    assert (done.code, done.err) == (0, "")
    assert done.out.rstrip("\n") == written(Policy()).rstrip("\n")
    assert read(done.out) == Policy()


def test_init_takes_all_that_a_policy_has_but_for_what_stops_it(home: Home) -> None:
    said = home.run(
        *("guard", "init", "--print", "--nodes", "pool=a,disk!=ssd", "--control-plane", "--most-nodes", "25%"),
        *("--incident", "mass-*", "--incident", "zone-?", "--fault", "kill", "--namespace", "shop"),
        *("--window", "mon-fri 09:00-17:00 Europe/Berlin", "--window", "sat 10:00-12:00"),
    )
    assert read(said.out) == Policy(
        nodes="pool=a,disk!=ssd",
        control_plane=True,
        most_nodes="25%",
        namespaces=("shop",),
        incidents=("mass-*", "zone-?"),
        faults=("kill",),
        windows=("mon-fri 09:00-17:00 Europe/Berlin", "sat 10:00-12:00"),
    )


def test_init_writes_the_guard_and_says_how_nodes_are_allowed(home: Home, api: FakeApiServer) -> None:
    done = of_owner(home, api, "guard", "init", "--most-nodes", "2")
    assert done.code == 0, done.err
    assert policy_of(api) == Policy(most_nodes=2)
    assert "`kube-ordeal halt` ends all harm there at once" in done.out
    assert "kubectl label node NAME kube-ordeal/allowed=true" in done.out


def test_init_for_every_node_names_no_label(home: Home, api: FakeApiServer) -> None:
    done = of_owner(home, api, "guard", "init", "--nodes", "")
    assert done.code == 0, done.err
    assert policy_of(api) == Policy(nodes="")
    assert "kubectl label" not in done.out


def test_init_leaves_a_guard_that_is_there_unless_it_is_to_be_replaced(home: Home, api: FakeApiServer) -> None:
    assert of_owner(home, api, "guard", "init").code == 0
    again = of_owner(home, api, "guard", "init", "--most-nodes", "9")
    refused(again, "the cluster has a guard already", "give --replace")
    assert again.out == ""
    assert policy_of(api) == Policy()
    assert of_owner(home, api, "guard", "init", "--most-nodes", "9", "--replace").code == 0
    assert policy_of(api) == Policy(most_nodes=9)


def test_init_replaces_what_is_not_there_too(home: Home, api: FakeApiServer) -> None:
    assert of_owner(home, api, "guard", "init", "--replace").code == 0
    assert policy_of(api) == Policy()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--nodes", "pool in (a)"], "the guard's selector 'pool in (a)' can't be read"),
        (["--most-nodes", "many"], "the guard's most_nodes is 'many'"),
        (["--most-nodes", "101%"], "the guard's most_nodes is '101%'"),
        (["--most-nodes", "-1"], "the guard's most_nodes is '-1'"),
        (["--window", "always"], "the guard's window 'always' can't be read"),
    ],
)
@pytest.mark.parametrize("printed", [True, False])
def test_init_neither_writes_nor_prints_what_nobody_could_read(
    home: Home, api: FakeApiServer, given: list[str], says: str, printed: bool
) -> None:
    done = of_owner(home, api, "guard", "init", *given, *(["--print"] if printed else []))
    refused(done, says)
    assert done.out == ""
    assert api.guard is None


# --- show


def test_show_says_what_is_allowed_and_which_nodes_that_are(home: Home, api: FakeApiServer) -> None:
    policy = Policy(stop=(PodsReady("shop"),))
    api.guard = {POLICY: written(policy)}
    done = of_owner(home, api, "guard", "show")
    assert done.code == 0, done.err
    shown, _, last = done.out.rstrip("\n").rpartition("\n")
    assert read(shown) == policy
    assert last == "may be harmed: w1"


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (Policy(nodes="pool=a"), "may be harmed: no node"),
        (Policy(nodes=""), "may be harmed: w1, w2"),
        (Policy(control_plane=True), "may be harmed: cp1, w1"),
    ],
)
def test_show_names_the_nodes(home: Home, api: FakeApiServer, policy: Policy, says: str) -> None:
    api.guard = {POLICY: written(policy)}
    done = of_owner(home, api, "guard", "show")
    assert (done.code, done.out.splitlines()[-1]) == (0, says)


def test_show_ends_with_1_where_nothing_may_be_harmed(home: Home, api: FakeApiServer) -> None:
    none = of_owner(home, api, "guard", "show")
    assert none.code == 1
    assert none.out.startswith("nothing may be harmed: the cluster has no guard")
    api.guard = {POLICY: written(Policy()), HALT: "true"}
    halted = of_owner(home, api, "guard", "show")
    assert halted.code == 1
    assert "nodes: kube-ordeal/allowed=true" in halted.out, "what the policy would allow is shown all the same"
    assert "nothing may be harmed: the owner has halted all harm" in halted.out
    assert "may be harmed: w1" not in halted.out


def test_show_says_why_a_guard_cannot_be_read(home: Home, api: FakeApiServer) -> None:
    api.guard = {POLICY: "nodez: a"}
    refused(of_owner(home, api, "guard", "show"), "unknown field `nodez`", "so nothing is allowed")
    api.guard, api.refuse = {}, 403
    refused(of_owner(home, api, "guard", "show"), "the cluster's guard can't be read: refused")


# --- halt


def lease(harmed: str) -> dict[str, Any]:
    return {"metadata": {"name": "kube-ordeal", "resourceVersion": "1", "annotations": {HARMED: harmed}}, "spec": {}}


@pytest.mark.parametrize(
    ("held", "says"),
    [
        (None, "no run has this cluster"),
        (lease(""), "no node was harmed"),
        (lease("w1"), "not undone yet on w1: its agent, where it has one, does it by itself"),
    ],
)
def test_halt_sets_the_flag_and_says_what_became_of_the_harm(
    home: Home, api: FakeApiServer, monkeypatch: pytest.MonkeyPatch, held: dict[str, Any] | None, says: str
) -> None:
    ended = guard.ended
    monkeypatch.setattr(guard, "ended", lambda connect, before: ended(connect, before, within_s=0))
    api.guard, api.lease = {POLICY: written(Policy())}, held
    done = of_owner(home, api, "halt")
    assert (done.code, done.out.splitlines()) == (0, ["halted: no harm is begun", says])
    assert api.guard == {POLICY: written(Policy()), HALT: "true"}


def test_halt_off_allows_it_again(home: Home, api: FakeApiServer) -> None:
    api.guard = {POLICY: written(Policy())}
    for _ in range(2):
        assert of_owner(home, api, "halt").code == 0
        assert of_owner(home, api, "guard", "show").code == 1
    for _ in range(2):
        done = of_owner(home, api, "halt", "--off")
        assert (done.code, done.out) == (0, "harm is allowed again, as the guard says\n")
        assert of_owner(home, api, "guard", "show").code == 0


@pytest.mark.parametrize("arguments", [["halt"], ["halt", "--off"]])
def test_halt_says_that_there_is_no_guard_to_halt(home: Home, api: FakeApiServer, arguments: list[str]) -> None:
    done = of_owner(home, api, *arguments)
    refused(done, "there is no guard in the cluster, so nothing may be harmed there")
    assert done.out == ""
    assert api.guard is None


def test_halt_says_that_the_user_may_not(home: Home, api: FakeApiServer) -> None:
    api.guard, api.refuse = {}, 403
    refused(of_owner(home, api, "halt"), "the guard can't be changed: refused")
    assert api.guard == {}


# --- no cluster


@pytest.mark.parametrize("arguments", [["guard", "init"], ["guard", "show"], ["halt"], ["halt", "--off"]])
def test_without_a_kubeconfig_it_is_said_which_was_looked_for(home: Home, arguments: list[str]) -> None:
    refused(home.run(*arguments), "there is no kubeconfig", "none: not there")
    refused(home.run(*arguments, "--kubeconfig", "other"), "other")


@pytest.mark.parametrize("arguments", [["guard", "init"], ["guard", "show"], ["halt"]])
def test_a_context_that_is_not_there_is_named(home: Home, api: FakeApiServer, arguments: list[str]) -> None:
    refused(home.run(*arguments, "--kubeconfig", str(api.kubeconfig), "--context", "prod"), "prod")
    assert api.guard is None


def test_show_says_that_the_api_server_is_away(home: Home, tmp_path: Path) -> None:
    with FakeApiServer(tmp_path) as api:
        pass
    refused(of_owner(home, api, "guard", "show"), "the cluster's guard can't be read", "Connection refused")


@pytest.mark.parametrize("arguments", [["guard"], ["guard", "begin"], ["halt", "--on"]])
def test_wrong_input_is_told(home: Home, arguments: list[str]) -> None:
    assert home.run(*arguments).code == 2
