"""The owner's word is asked before harm and watched while it lasts; what it says ends the harm in the main thread."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiClient

from chaos.basics.signals import held_back
from chaos.basics.waiting import eventually
from chaos.clusters.way.client import CONTROL_PLANE_LABEL, Access
from chaos.errors import OrdealError
from chaos.run import claim, guard
from chaos.run.claim import HARMED, Claim
from chaos.run.deadline import TimedOutError
from chaos.run.guard import STOP, Anything, Guard, RefusedError, StoppedError, ended, halt, read, write
from chaos.run.policy import DAYS, HALT, POLICY, Condition, Consent, PodsReady, Policy, Query, Url, written
from tests.fake_apiserver import FakeApiServer, noted_at

LONG_S = 60.0  # to end a hang
SAVED = {"node": "w1", "namespace": "ordeal-web"}  # a plan, as the journal has it
EVERY = Policy(nodes="")


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApiServer]:
    """A cluster of three nodes and a control plane, all of which its owner allows, and a run that has claimed it."""
    monkeypatch.setattr(guard, "LOOK_EVERY_S", 0.02)
    with FakeApiServer(tmp_path) as made:
        for name in ("w1", "w2", "w3"):
            made.put("nodes", name, metadata={"labels": {"name": name}})
        made.put("nodes", "cp1", metadata={"labels": {CONTROL_PLANE_LABEL: ""}})
        made.lease = {"metadata": {"name": "kube-ordeal", "resourceVersion": "1"}, "spec": {"holderIdentity": "run a"}}
        allow(made)
        yield made


@pytest.fixture
def client(api: FakeApiServer) -> Callable[[], ApiClient]:
    return Access(api.kubeconfig).client


@pytest.fixture
def told() -> list[str]:
    """What `stopped` was called with."""
    return []


@pytest.fixture
def guarding(client: Callable[[], ApiClient], told: list[str]) -> Guard:
    return Guard(client, told.append)


@pytest.fixture(autouse=True)
def _handler_of_before() -> Iterator[None]:
    """Whatever a test does, the signal's handler is the one of before it."""
    before = signal.getsignal(STOP)
    yield
    assert signal.getsignal(STOP) is before


def allow(api: FakeApiServer, policy: Policy = EVERY) -> None:
    api.guard = {POLICY: written(policy)}


def harmed(api: FakeApiServer) -> str | None:
    """What the Lease says."""
    found = (api.lease or {}).get("metadata", {}).get("annotations", {}).get(HARMED)
    return None if found is None else str(found)


def looked(api: FakeApiServer, times: int = 3) -> None:
    """Wait until the watch has begun to look that often again: all but the last one have come to their end."""
    before = len(asks(api))
    eventually(lambda: len(asks(api)) >= before + times, within_s=LONG_S, what="looks at the guard", every_s=0.01)


def asks(api: FakeApiServer) -> list[str]:
    return [each for each in api.requests if each.endswith("/configmaps/kube-ordeal-guard")]


def watches() -> list[str]:
    """The threads that look."""
    return [each.name for each in threading.enumerate() if each.name.startswith("guard_")]


def no_watches() -> bool:
    return not watches()


def harm_until_stopped(guarding: Guard, then: Callable[[], None]) -> str:
    """Harm w1, let that happen, and wait to be stopped. Returns with which words."""

    def story() -> None:
        with guarding.harming("mass", "kill", SAVED):
            then()
            threading.Event().wait(LONG_S)
            pytest.fail("nothing stopped it")

    with pytest.raises(StoppedError) as stopped:
        story()
    return str(stopped.value)


def not_begun(guarding: Guard, kind: type[Exception], says: str, saved: object = SAVED) -> None:
    """It is refused before anything is done, by exactly that kind of error."""
    with pytest.raises(kind, match=says) as refused, guarding.harming("mass", "kill", saved):
        pytest.fail("it was begun")
    assert type(refused.value) is kind
    assert str(refused.value).startswith("kill is not done: ")
    assert "\n" not in str(refused.value)


# --- asked before


def test_on_a_cluster_that_is_made_here_nobody_is_asked() -> None:
    anything = Anything()
    anything.require()
    assert anything.allowed() is None
    with anything.harming("mass", "kill", SAVED):
        pass


def test_without_a_guard_nothing_may_be_harmed(api: FakeApiServer, guarding: Guard) -> None:
    api.guard = None
    with pytest.raises(OrdealError, match="the cluster has no guard"):
        guarding.require()
    with pytest.raises(OrdealError, match="the cluster has no guard"):
        guarding.allowed()
    not_begun(guarding, OrdealError, "the cluster has no guard")
    assert harmed(api) is None


def test_the_nodes_that_may_be_harmed_are_those_that_the_policy_names(api: FakeApiServer, guarding: Guard) -> None:
    assert guarding.allowed() == frozenset({"w1", "w2", "w3"})
    allow(api, Policy(nodes="name!=w2", control_plane=True))
    assert guarding.allowed() == frozenset({"w1", "w3", "cp1"})
    allow(api, Policy())
    assert guarding.allowed() == frozenset()


def test_the_faults_that_may_be_done_are_those_that_the_policy_names(api: FakeApiServer, guarding: Guard) -> None:
    kinds = ("drain-node", "cut-off", "power-off")
    assert guarding.faults(kinds) == frozenset(kinds)
    allow(api, Policy(faults=("drain-*", "power-off")))
    assert guarding.faults(kinds) == frozenset({"drain-node", "power-off"})
    api.guard = None
    assert guarding.faults(kinds) == frozenset()
    assert Anything().faults(kinds) == frozenset(kinds)


@pytest.mark.parametrize(
    ("policy", "saved", "says"),
    [
        (Policy(nodes="name=w2"), SAVED, "w1 does not have that"),
        (EVERY, {"nodes": ["cp1"]}, "cp1 is one"),
        (EVERY, {"of": {"w1": 1, "w2": 2}}, "the guard allows 1 node at once, and w1, w2 would be 2"),
        (Policy(nodes="", most_nodes="25%"), ["w1", "w2"], "the guard allows 1 node at once"),
        (EVERY, {"pods": [{"namespace": "shop", "name": "p"}]}, "does not name the namespace shop"),
        (Policy(nodes="", incidents=("zone-*",)), SAVED, "does not name the incident mass"),
        (Policy(nodes="", faults=("drain",)), SAVED, "does not name the fault kill"),
    ],
)
def test_what_the_owner_does_not_allow_is_refused(
    api: FakeApiServer, guarding: Guard, told: list[str], policy: Policy, saved: object, says: str
) -> None:
    allow(api, policy)
    guarding.require()
    not_begun(guarding, RefusedError, says, saved)
    assert harmed(api) is None, "nothing was harmed, so nothing is told"
    assert not told


def test_what_the_run_has_no_right_to_is_refused_before_it_is_done(api: FakeApiServer, guarding: Guard) -> None:
    api.forbidden = {("patch", "nodes")}
    with guarding.harming("mass", "kill", SAVED):
        pass
    with (
        pytest.raises(
            RefusedError, match=r"^drain-node is not done: the kubeconfig's user may not patch nodes \(in all"
        ),
        guarding.harming("mass", "drain-node", SAVED),
    ):
        pytest.fail("it was begun")
    assert harmed(api) == ""


def test_where_nothing_may_be_harmed_now_it_is_no_refusal_of_one_replay(api: FakeApiServer, guarding: Guard) -> None:
    """Else the run would go on and skip each of them."""
    halted(api)
    not_begun(guarding, OrdealError, "the owner has halted all harm")
    closed(api)
    not_begun(guarding, OrdealError, "the guard allows harm only")
    misspelt(api)
    with pytest.raises(OrdealError, match="can't be read"), guarding.harming("mass", "kill", SAVED):
        pytest.fail("it was begun")


def test_a_guard_that_cannot_be_asked_for_is_one_sentence(api: FakeApiServer, guarding: Guard) -> None:
    api.refuse = 403
    with pytest.raises(OrdealError, match=r"^the cluster's guard can't be read: refused$"):
        guarding.require()
    with pytest.raises(OrdealError, match=r"^the cluster's guard can't be read: refused$"):
        guarding.allowed()


# --- what ends all harm


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FakeApiServer]:
    """What the owner looks at: something that answers over HTTP."""
    with FakeApiServer(tmp_path) as made:
        made.texts |= {"/healthz": "ok", "/api/v1/query": '{"data": {"result": []}}'}
        yield made


def query_of(app: FakeApiServer) -> Query:
    return Query(f"{app.url}/", 'up{job="shop"} == 0')


def firing(app: FakeApiServer) -> None:
    app.texts["/api/v1/query"] = '{"data": {"result": [{"metric": {"job": "shop"}, "value": [0, "0"]}]}}'


def failing(app: FakeApiServer) -> None:
    app.refuse = 500


def senseless(app: FakeApiServer) -> None:
    app.texts["/api/v1/query"] = "<html>"


BROKEN: dict[str, tuple[Callable[[FakeApiServer], Condition], Callable[[FakeApiServer], None], str]] = {
    "a URL that answers 500": (lambda app: Url(f"{app.url}/healthz"), failing, "/healthz ends all harm: HTTP 500"),
    "a query that finds something": (query_of, firing, "== 0 ends all harm: it finds [{"),
    "a query that is refused": (query_of, failing, "== 0 ends all harm: it can't be asked"),
    "a query whose answer is none": (query_of, senseless, "== 0 ends all harm: it can't be asked"),
}


@pytest.mark.parametrize(("condition", "breaks", "says"), BROKEN.values(), ids=BROKEN)
def test_a_condition_that_breaks_ends_the_harm(
    api: FakeApiServer,
    guarding: Guard,
    told: list[str],
    app: FakeApiServer,
    condition: Callable[[FakeApiServer], Condition],
    breaks: Callable[[FakeApiServer], None],
    says: str,
) -> None:
    allow(api, Policy(nodes="", stop=(condition(app),)))

    def then() -> None:
        looked(api)
        assert not told
        breaks(app)

    said = harm_until_stopped(guarding, then)
    assert says in said
    assert [f"stopped: {each}" for each in told] == [said]
    not_begun(guarding, OrdealError, "ends all harm")


def test_a_url_that_is_no_longer_there_ends_the_harm(
    api: FakeApiServer, guarding: Guard, told: list[str], tmp_path: Path
) -> None:
    with ExitStack() as app:
        url = f"{app.enter_context(FakeApiServer(tmp_path)).url}/readyz"
        allow(api, Policy(nodes="", stop=(Url(url),)))
        said = harm_until_stopped(guarding, app.close)
    assert said.startswith(f"stopped: the guard's condition {url} ends all harm: it can't be asked: ")
    assert len(told) == 1


def test_pods_that_are_not_ready_end_the_harm(api: FakeApiServer, guarding: Guard, told: list[str]) -> None:
    def pod(name: str, phase: str, ready: str, namespace: str = "shop") -> None:
        status = {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}
        api.put("pods", name, metadata={"namespace": namespace}, status=status)

    pod("web", "Running", "True")
    pod("job", "Succeeded", "False")
    pod("other", "Running", "False", "elsewhere")
    allow(api, Policy(nodes="", stop=(PodsReady("shop"),)))

    def then() -> None:
        looked(api)
        assert not told
        pod("web", "Running", "False")

    said = harm_until_stopped(guarding, then)
    assert said == "stopped: the guard's condition that the pods of shop are Ready ends all harm: not Ready: web"


def halted(api: FakeApiServer) -> None:
    api.guard = {**(api.guard or {}), HALT: "true"}


def deleted(api: FakeApiServer) -> None:
    api.guard = None


def closed(api: FakeApiServer) -> None:
    yesterday = DAYS[datetime.now(UTC).weekday() - 1]
    allow(api, Policy(nodes="", windows=(f"{yesterday} 00:00-00:01",)))


def misspelt(api: FakeApiServer) -> None:
    api.guard = {POLICY: "nodez: a"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (halted, "the owner has halted all harm"),
        (deleted, "the cluster has no guard"),
        (closed, "the guard allows harm only"),
        (misspelt, "the guard can't be read"),
    ],
)
def test_a_change_of_the_owners_mind_ends_the_harm(
    api: FakeApiServer, guarding: Guard, told: list[str], change: Callable[[FakeApiServer], None], says: str
) -> None:
    def then() -> None:
        assert harmed(api) == "w1"
        change(api)

    said = harm_until_stopped(guarding, then)
    assert said.startswith(f"stopped: {says}")
    assert [f"stopped: {each}" for each in told] == [said]
    assert harmed(api) == "", "and is undone"


def test_what_is_stopped_ends_as_a_tests_time_limit_does() -> None:
    """So nothing that tries again after an error goes on, and the run says why."""
    assert issubclass(StoppedError, TimedOutError)
    assert not issubclass(StoppedError, Exception)


def test_a_policy_that_allows_less_than_is_done_already_does_not_end_it(
    api: FakeApiServer, guarding: Guard, told: list[str]
) -> None:
    """It is asked before; what ends harm is a halt, or what the owner has named for it."""
    with guarding.harming("mass", "kill", SAVED):
        allow(api, Policy(nodes="name=w2"))
        looked(api)
    assert not told
    not_begun(guarding, RefusedError, "w1 does not have that")


def test_a_stop_comes_after_what_is_put_right_at_that_moment(
    api: FakeApiServer, guarding: Guard, told: list[str]
) -> None:
    done: list[str] = []

    def story() -> None:
        with guarding.harming("mass", "kill", SAVED), held_back():
            halted(api)
            eventually(lambda: told, within_s=LONG_S, what="the stop", every_s=0.01)
            done.append("put right")
        pytest.fail("it was stopped, and went on")

    with pytest.raises(StoppedError):
        story()
    assert done == ["put right"]


# --- the API server is away


def test_an_api_server_that_refuses_in_the_middle_ends_nothing(
    api: FakeApiServer, guarding: Guard, told: list[str]
) -> None:
    with guarding.harming("mass", "kill", SAVED):
        api.refuse = 503
        looked(api)
        api.refuse = 0
        looked(api)
    assert not told
    assert harmed(api) == ""


def test_an_api_server_that_is_gone_in_the_middle_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    monkeypatch.setattr(guard, "LOOK_EVERY_S", 0.02)
    connected: list[ApiClient] = []

    def connect() -> ApiClient:
        connected.append(access.client())
        return connected[-1]

    with ExitStack() as server:
        api = server.enter_context(FakeApiServer(tmp_path))
        allow(api)
        access = Access(api.kubeconfig)
        with Guard(connect, told.append).harming("mass", "kill", SAVED):
            server.close()
            before = len(connected)
            eventually(lambda: len(connected) >= before + 3, within_s=LONG_S, what="looks in vain", every_s=0.01)
    assert not told


def test_a_halt_counts_once_the_api_server_is_back(api: FakeApiServer, guarding: Guard, told: list[str]) -> None:
    def then() -> None:
        api.refuse = 503
        halted(api)
        looked(api)
        assert not told
        api.refuse = 0

    assert "halted" in harm_until_stopped(guarding, then)
    assert len(told) == 1


# --- harm within harm


def test_harm_within_harm_counts_its_nodes_together(api: FakeApiServer, guarding: Guard) -> None:
    allow(api, Policy(nodes="", most_nodes=2))
    with guarding.harming("mass", "drain", SAVED):
        with guarding.harming("mass", "kill", {"node": "w2"}):
            assert harmed(api) == "w1,w2"
            not_begun(guarding, RefusedError, "allows 2 nodes at once, and w1, w2, w3 would be 3", {"node": "w3"})
            with guarding.harming("mass", "kill", {"node": "w1"}):  # the same one again
                assert harmed(api) == "w1,w2"
            assert harmed(api) == "w1,w2"
        assert harmed(api) == "w1"
        with guarding.harming("mass", "kill", {"node": "w3"}):
            assert harmed(api) == "w1,w3"
    assert harmed(api) == ""


def test_a_stop_goes_through_all_harm_and_is_told_once(api: FakeApiServer, guarding: Guard, told: list[str]) -> None:
    allow(api, Policy(nodes="", most_nodes=2))
    undone: list[str | None] = []

    def story() -> None:
        with guarding.harming("mass", "drain", SAVED):
            try:
                with guarding.harming("mass", "kill", {"node": "w2"}):
                    halted(api)
                    threading.Event().wait(LONG_S)
                    pytest.fail("nothing stopped it")
            finally:
                undone.append(harmed(api))

    with pytest.raises(StoppedError):
        story()
    assert undone == ["w1"]
    assert harmed(api) == ""
    assert len(told) == 1


def test_the_watch_lasts_until_the_outer_harm_is_over(api: FakeApiServer, guarding: Guard) -> None:
    allow(api, Policy(nodes="", most_nodes=2))

    def then() -> None:
        with guarding.harming("mass", "kill", {"node": "w2"}):
            pass
        halted(api)

    assert "halted" in harm_until_stopped(guarding, then)


def test_nobody_looks_once_the_harm_is_over(api: FakeApiServer, guarding: Guard, told: list[str]) -> None:
    with guarding.harming("mass", "kill", SAVED):
        assert {"guard_look", "guard_ask"} <= {*watches()}
    eventually(no_watches, within_s=LONG_S, what="nobody to look")
    halted(api)
    assert not told


# --- the signal


def test_the_handler_of_before_is_put_back(api: FakeApiServer, guarding: Guard) -> None:
    def mine(number: int, frame: object) -> None:
        pytest.fail("this is not for me")

    before = signal.signal(STOP, mine)
    try:
        with guarding.harming("mass", "kill", SAVED):
            assert signal.getsignal(STOP) is not mine
            with guarding.harming("mass", "kill", SAVED):
                pass
            assert signal.getsignal(STOP) is not mine, "the outer one still needs it"
        assert signal.getsignal(STOP) is mine
        harm_until_stopped(guarding, lambda: halted(api))
        assert signal.getsignal(STOP) is mine
        not_begun(guarding, OrdealError, "halted")
        assert signal.getsignal(STOP) is mine
    finally:
        signal.signal(STOP, before)


def test_a_story_that_breaks_leaves_no_watch_and_no_handler(api: FakeApiServer, guarding: Guard) -> None:
    broke = RuntimeError("in the middle")

    def story() -> None:
        with guarding.harming("mass", "kill", SAVED):
            assert watches()
            raise broke

    with pytest.raises(RuntimeError, match=r"^in the middle$") as left:
        story()
    assert left.value is broke
    assert harmed(api) == ""
    eventually(no_watches, within_s=LONG_S, what="nobody to look")


# --- what the Lease says


def test_the_lease_says_which_nodes_are_harmed_as_long_as_they_are(api: FakeApiServer, guarding: Guard) -> None:
    allow(api, Policy(nodes="", most_nodes=3))
    with guarding.harming("mass", "kill", {"nodes": ["w3", "w1"]}):
        assert harmed(api) == "w1,w3"
    assert harmed(api) == ""


def test_harm_that_names_no_node_says_none(api: FakeApiServer, guarding: Guard) -> None:
    with guarding.harming("mass", "kill", {"namespace": "ordeal-web", "name": "w9"}):
        assert harmed(api) == ""


def test_harm_goes_on_where_no_lease_can_say_it(api: FakeApiServer, guarding: Guard) -> None:
    api.lease = None
    with guarding.harming("mass", "kill", SAVED):
        assert api.lease is None


def test_a_renewal_of_the_claim_keeps_what_is_harmed_and_a_new_claim_does_not(
    api: FakeApiServer, client: Callable[[], ApiClient], guarding: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "RENEWED_EVERY_S", 0.02)
    api.lease = None

    def renewed() -> Any:
        return api.lease and api.lease["spec"]["renewTime"]

    with Claim(client, "run a"), guarding.harming("mass", "kill", SAVED):
        assert harmed(api) == "w1"
        first = renewed()
        eventually(lambda: renewed() != first, within_s=LONG_S, what="a renewal", every_s=0.01)
        assert harmed(api) == "w1"
        left: Any = api.lease
        monkeypatch.setattr(claim, "RENEWED_EVERY_S", LONG_S)  # so long it is waited for who renews
    left["metadata"]["managedFields"] = [noted_at(datetime(2020, 1, 1, tzinfo=UTC))]
    api.lease = left  # as a kill leaves it
    api.lease["metadata"]["annotations"].pop(claim.PROCESS)
    assert harmed(api) == "w1"
    with Claim(client, "run b"):
        assert harmed(api) is None


# --- the owner's commands


def test_a_guard_is_written_once_unless_it_is_to_be_replaced(
    api: FakeApiServer, client: Callable[[], ApiClient]
) -> None:
    api.guard = None
    assert read(client) == Consent(None)
    write(client, Policy(nodes="pool=a"), replace=False)
    assert read(client) == Consent(Policy(nodes="pool=a"))
    with pytest.raises(OrdealError, match=r"the cluster has a guard already: `kubectl .* or give --replace$"):
        write(client, EVERY, replace=False)
    assert read(client) == Consent(Policy(nodes="pool=a"))
    write(client, EVERY, replace=True)
    assert read(client) == Consent(EVERY)


def test_a_halt_is_a_flag_beside_the_policy_that_may_be_taken_back(
    api: FakeApiServer, client: Callable[[], ApiClient]
) -> None:
    halt(client, on=True)
    assert read(client) == Consent(EVERY, halted=True)
    halt(client, on=False)
    assert read(client) == Consent(EVERY)


def test_what_the_owner_may_not_change_is_one_sentence(api: FakeApiServer, client: Callable[[], ApiClient]) -> None:
    api.refuse = 403
    with pytest.raises(OrdealError, match=r"^the guard can't be changed: refused; end the run where it is$"):
        halt(client, on=True)
    with pytest.raises(OrdealError, match=r"^the guard can't be written: refused$"):
        write(client, EVERY, replace=False)
    with pytest.raises(OrdealError, match=r"^it can't be asked what is harmed: refused$"):
        guard.harmed(client)


def test_where_there_is_no_guard_there_is_nothing_to_halt(api: FakeApiServer, client: Callable[[], ApiClient]) -> None:
    api.guard = None
    with pytest.raises(OrdealError, match=r"^there is no guard in the cluster, so nothing may be harmed there$"):
        halt(client, on=True)
    assert api.guard is None


def lease(harmed_nodes: str | None) -> Mapping[str, Any]:
    annotations = {} if harmed_nodes is None else {HARMED: harmed_nodes}
    return {"metadata": {"name": "kube-ordeal", "resourceVersion": "1", "annotations": annotations}, "spec": {}}


NOT_YET = "not undone yet on {}: its agent, where it has one, does it by itself"


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (None, None, ("no run has this cluster",)),
        (lease(None), lease(None), ("no node was harmed",)),
        (lease(""), lease(""), ("no node was harmed",)),
        (lease("w2,w1"), lease(""), ("undone on w1", "undone on w2")),
        (lease("w1"), None, ("undone on w1",)),
        (lease("w1,w2"), lease("w2"), ("undone on w1", NOT_YET.format("w2"))),
        (lease("w1"), lease("w1"), (NOT_YET.format("w1"),)),
        (lease("w1"), lease("w1,w3"), (NOT_YET.format("w1"), NOT_YET.format("w3"))),
    ],
)
def test_after_a_halt_it_is_told_what_became_of_each_node(
    api: FakeApiServer,
    client: Callable[[], ApiClient],
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    says: tuple[str, ...],
) -> None:
    """The Lease changes once it was asked for."""
    api.lease = before
    connected: list[ApiClient] = []

    def connect() -> ApiClient:
        if connected:
            api.lease = after
        connected.append(client())
        return connected[-1]

    assert ended(connect, guard.harmed(connect), within_s=0) == says


def test_a_halt_waits_until_the_run_has_undone_its_harm(
    api: FakeApiServer, client: Callable[[], ApiClient], guarding: Guard
) -> None:
    said: list[str] = []

    def as_owner() -> None:
        before = guard.harmed(client)
        halt(client, on=True)
        said.extend(ended(client, before, within_s=LONG_S))

    owner = threading.Thread(target=as_owner)
    harm_until_stopped(guarding, owner.start)
    owner.join(LONG_S)
    assert said == ["undone on w1"]
