"""The owner's policy: what it allows, what it refuses and in which words; what can't be read allows nothing."""

import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.errors import OrdealError
from chaos.run.policy import (
    DAYS,
    HALT,
    POLICY,
    Consent,
    NodeToHarm,
    PodsReady,
    Policy,
    Query,
    Url,
    consent_of,
    read,
    written,
)

MONDAY = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # at noon
EVERY = Policy(nodes="")  # every node that is no control plane's


def node(name: str = "w1", *, control_plane: bool = False, **labels: str) -> NodeToHarm:
    return NodeToHarm(name, labels, control_plane)


def asked(
    policy: Policy | None,
    *nodes: NodeToHarm,
    namespaces: Collection[str] = (),
    harmed: Collection[str] = (),
    of: int = 10,
    at: datetime = MONDAY,
    halted: bool = False,
) -> str:
    """What is said of a fault `kill` of the incident `mass`."""
    consent, namespaces = Consent(policy, halted), namespaces or (() if nodes else ("ordeal-mass",))
    return consent.refuses("mass", "kill", nodes, namespaces, harmed=harmed, of=of, at=at)


def test_harm_that_names_no_node_and_no_namespace_is_the_control_planes() -> None:
    consent = Consent(Policy(nodes=""))
    refused = consent.refuses("mass", "replace-control-plane", (), (), harmed=(), of=3, at=MONDAY)
    assert "it is the control plane's, which the guard does not allow" in refused
    allowed = Consent(Policy(nodes="", control_plane=True))
    assert not allowed.refuses("mass", "replace-control-plane", (), (), harmed=(), of=3, at=MONDAY)


# --- nodes


@pytest.mark.parametrize(
    ("selector", "labels", "allowed"),
    [
        ("", {}, True),
        ("", {"pool": "a"}, True),
        ("pool", {"pool": ""}, True),
        ("pool", {}, False),
        ("pool=a", {"pool": "a"}, True),
        ("pool==a", {"pool": "a"}, True),
        (" pool = a ", {"pool": "a"}, True),
        ("pool=a", {"pool": "b"}, False),
        ("pool=a", {}, False),
        ("pool=", {"pool": ""}, True),
        ("pool=", {}, False),
        ("pool!=a", {"pool": "b"}, True),
        ("pool!=a", {}, True),
        ("pool!=a", {"pool": "a"}, False),
        ("pool=a,disk", {"pool": "a", "disk": "ssd"}, True),
        ("pool=a, disk", {"pool": "a"}, False),
        ("pool=a,disk!=ssd", {"pool": "a", "disk": "ssd"}, False),
        ("kube-ordeal/allowed=true", {"kube-ordeal/allowed": "true"}, True),
    ],
)
def test_a_node_is_allowed_by_its_labels(selector: str, labels: Mapping[str, str], allowed: bool) -> None:
    why = asked(Policy(nodes=selector), NodeToHarm("w1", labels, control_plane=False))
    assert why == ("" if allowed else f"the guard allows nodes with {selector!r} alone, and w1 does not have that")


def test_one_node_that_is_not_allowed_refuses_all() -> None:
    policy = Policy(nodes="pool=a", most_nodes=9)
    assert asked(policy, node("w1", pool="a"), node("w2", pool="a")) == ""
    assert "w3 does not have that" in asked(policy, node("w1", pool="a"), node("w3", pool="b"))


@pytest.mark.parametrize("allowed", [True, False])
def test_a_control_plane_node_has_to_be_allowed_beside_its_labels(allowed: bool) -> None:
    why = asked(Policy(nodes="", control_plane=allowed), node("cp1", control_plane=True))
    assert why == ("" if allowed else "the guard allows no control-plane node, and cp1 is one")


def test_a_control_plane_node_that_is_allowed_needs_the_labels_too() -> None:
    assert "cp1 does not have that" in asked(Policy(control_plane=True), node("cp1", control_plane=True))


@pytest.mark.parametrize(
    ("most", "of", "names", "harmed", "allowed"),
    [
        (1, 10, ["w1"], [], True),
        (1, 10, ["w1", "w2"], [], False),
        (1, 10, ["w1"], ["w2"], False),
        (1, 10, ["w1"], ["w1"], True),
        (2, 10, ["w1"], ["w2"], True),
        (2, 10, ["w1", "w2"], ["w2", "w3"], False),
        (0, 10, ["w1"], [], False),
        (0, 10, [], ["w1"], True),
        ("50%", 4, ["w1", "w2"], [], True),
        ("50%", 4, ["w1", "w2"], ["w3"], False),
        ("50%", 3, ["w1"], [], True),
        ("50%", 3, ["w1", "w2"], [], False),
        ("33%", 2, ["w1"], [], False),
        ("0%", 100, ["w1"], [], False),
        (" 100% ", 2, ["w1", "w2"], [], True),
    ],
)
def test_so_many_nodes_at_once_are_allowed(
    most: int | str, of: int, names: Collection[str], harmed: Collection[str], allowed: bool
) -> None:
    policy = Policy(nodes="", most_nodes=most)
    policy.check()
    assert (asked(policy, *map(node, names), harmed=harmed, of=of) == "") is allowed


def test_too_many_nodes_are_named_with_how_many_would_be_allowed() -> None:
    why = asked(Policy(nodes="", most_nodes="20%"), node("w3"), node("w1"), harmed=["w2"], of=10)
    assert why == "the guard allows 2 nodes at once, and w1, w2, w3 would be 3"


# --- what is named


@pytest.mark.parametrize(
    ("policy", "namespaces", "why"),
    [
        (Policy(), [], ""),
        (Policy(), ["ordeal-web", "ordeal-db"], ""),
        (Policy(), ["ordeal-web", "default"], "the guard does not name the namespace default"),
        (Policy(namespaces=("shop", "shop-?")), ["shop", "shop-2"], ""),
        (Policy(namespaces=("shop-?",)), ["shop-22"], "the guard does not name the namespace shop-22"),
        (Policy(namespaces=()), ["ordeal-web"], "the guard does not name the namespace ordeal-web"),
        (Policy(incidents=("m*",)), [], ""),
        (Policy(incidents=("MASS", "zone*")), [], "the guard does not name the incident mass"),
        (Policy(incidents=()), [], "the guard does not name the incident mass"),
        (Policy(faults=("drain", "kill")), [], ""),
        (Policy(faults=("kil",)), [], "the guard does not name the fault kill"),
        (Policy(faults=()), [], "the guard does not name the fault kill"),
    ],
)
def test_what_no_pattern_names_is_refused(policy: Policy, namespaces: Collection[str], why: str) -> None:
    assert asked(policy, namespaces=namespaces) == why


# --- when


@pytest.mark.parametrize(
    ("window", "at", "allowed"),
    [
        ("mon 09:00-17:00", "2026-03-02T09:00", True),
        ("mon 09:00-17:00", "2026-03-02T16:59", True),
        ("mon 09:00-17:00", "2026-03-02T17:00", False),
        ("mon 09:00-17:00", "2026-03-02T08:59", False),
        ("mon 09:00-17:00", "2026-03-03T12:00", False),
        ("Mon-FRI 09:00-17:00", "2026-03-06T12:00", True),
        ("mon-fri 09:00-17:00", "2026-03-07T12:00", False),
        ("mon-sun 09:00-17:00", "2026-03-08T12:00", True),
        ("sat-mon 09:00-17:00", "2026-03-08T12:00", True),
        ("sat-mon 09:00-17:00", "2026-03-02T12:00", True),
        ("sat-mon 09:00-17:00", "2026-03-03T12:00", False),
        ("fri-fri 09:00-17:00", "2026-03-06T12:00", True),
        ("mon 09:00-17:00 Europe/Berlin", "2026-03-02T08:00", True),
        ("mon 09:00-17:00 Europe/Berlin", "2026-03-02T16:00", False),
        ("mon 09:00-17:00 Europe/Berlin", "2026-07-06T07:00", True),  # summer time
        ("mon 09:00-17:00 Europe/Berlin", "2026-07-06T15:00", False),
        ("mon 00:00-06:00 Asia/Tokyo", "2026-03-01T20:00", True),  # Sunday in UTC
        ("mon 00:00-06:00 Asia/Tokyo", "2026-03-02T01:00", False),
        ("sun 18:00-23:59 America/Los_Angeles", "2026-03-02T03:00", True),  # Monday in UTC
    ],
)
def test_harm_is_allowed_within_a_window(window: str, at: str, allowed: bool) -> None:
    why = asked(Policy(windows=(window,)), at=datetime.fromisoformat(at).replace(tzinfo=UTC))
    assert why == ("" if allowed else f"the guard allows harm only {window}")


def test_one_of_several_windows_is_enough_and_all_are_told_where_none_is() -> None:
    policy = Policy(windows=("tue 09:00-17:00", "mon 11:00-13:00"))
    assert asked(policy) == ""
    later = asked(policy, at=MONDAY + timedelta(hours=2))
    assert later == "the guard allows harm only tue 09:00-17:00, mon 11:00-13:00"


def test_a_moment_is_within_a_window_whatever_zone_it_is_told_in() -> None:
    there = MONDAY.astimezone(ZoneInfo("Pacific/Kiritimati"))  # Tuesday
    assert asked(Policy(windows=("mon 11:00-13:00",)), at=there) == ""


# --- nothing at all


@pytest.mark.parametrize(
    ("value", "halted"),
    [
        ("", False),
        ("  ", False),
        ("false", False),
        ("False\n", False),
        ("no", False),
        ("true", True),
        ("yes", True),
        ("off", True),  # nobody who writes anything else there may be misunderstood
        ("0", True),
        ("since Monday, ask Ann", True),
    ],
)
def test_any_word_that_is_not_no_halts(value: str, halted: bool) -> None:
    consent = consent_of({POLICY: "", HALT: value})
    assert consent.halted is halted
    assert bool(consent.stops(MONDAY)) is halted


def test_what_is_halted_refuses_what_the_policy_would_allow() -> None:
    assert asked(EVERY, node()) == ""
    assert asked(EVERY, node(), halted=True).startswith("the owner has halted all harm")


def test_a_cluster_without_a_guard_allows_nothing() -> None:
    consent = consent_of(None)
    assert consent.policy is None
    assert consent.stops(MONDAY).startswith("the cluster has no guard: its owner makes one with")
    assert asked(None, halted=True).startswith("the cluster has no guard")


@pytest.mark.parametrize("data", [{}, {POLICY: ""}, {POLICY: " \n"}, {POLICY: "{}"}, {"other": "x"}])
def test_a_guard_that_says_nothing_allows_what_is_shipped(data: Mapping[str, str]) -> None:
    assert consent_of(data) == Consent(Policy())


def test_a_shipped_guard_allows_one_node_that_is_labelled_for_it() -> None:
    labels = {"kube-ordeal/allowed": "true"}
    first, second = (NodeToHarm(name, labels, control_plane=False) for name in ("w1", "w2"))
    assert asked(Policy(), first, namespaces=["ordeal-web"]) == ""
    assert asked(Policy(), first, second) == "the guard allows 1 node at once, and w1, w2 would be 2"
    assert asked(Policy(), node()) != ""


# --- what can't be read


UNREADABLE = {
    "an unknown field": ("nodez: a", "unknown field `nodez`"),
    "a selector by sets": ("nodes: pool in (a)", r"the guard's selector 'pool in (a)' can't be read"),
    "a selector of negation": ("nodes: '!pool'", "write key=value, key!=value or key"),
    "a selector with two values": ("nodes: pool=a=b", "can't be read at 'pool=a=b'"),
    "a selector without a key": ("nodes: pool=a,=b", "can't be read at '=b'"),
    "no selector": ("nodes:", "Expected `str`, got `null` - at `$.nodes`"),
    "a percentage above all": ("most_nodes: 101%", "the guard's most_nodes is '101%': write a number of nodes"),
    "half a percent": ("most_nodes: 0.5%", "most_nodes is '0.5%'"),
    "a percentage below none": ("most_nodes: -5%", "most_nodes is '-5%'"),
    "a number as a text": ("most_nodes: '3'", "most_nodes is '3'"),
    "fewer than no nodes": ("most_nodes: -1", "the guard's most_nodes is -1: write a number of nodes"),
    "half a node": ("most_nodes: 1.5", "got `float` - at `$.most_nodes`"),
    "nodes as a yes": ("most_nodes: yes", "got `bool` - at `$.most_nodes`"),
    "a number of too many bits": (f"most_nodes: {2**64}", "a whole number of more than 64 bits"),
    "one pattern, no list": ("incidents: '*'", "Expected `array`, got `str` - at `$.incidents`"),
    "a pattern that is no text": ("faults: [1]", "at `$.faults[0]`"),
    "a window of another form": ("windows: [weekdays]", "the guard's window 'weekdays' can't be read"),
    "an unknown day": ("windows: ['mon-fry 09:00-17:00']", "'mon-fry 09:00-17:00' can't be read"),
    "an hour that no day has": ("windows: ['mon 09:00-25:00']", "hour must be in 0..23"),
    "a window over midnight": ("windows: ['mon 22:00-06:00']", "ends before it begins: write two"),
    "an empty window": ("windows: ['mon 09:00-09:00']", "ends before it begins"),
    "an unknown zone": ("windows: ['mon 09:00-17:00 Mars/Olympus']", "write it as mon-fri 09:00-17:00 Europe/Berlin"),
    "a zone outside": ("windows: ['mon 09:00-17:00 ../../etc/passwd']", "can't be read"),
    "a condition of no kind": ("stop: [{url: 'http://a'}]", "missing required field `kind` - at `$.stop[0]`"),
    "an unknown condition": ("stop: [{kind: smoke}]", "Invalid value 'smoke'"),
    "half a condition": ("stop: [{kind: promql, url: 'http://a'}]", "missing required field `query`"),
    "a key twice": ("nodes: a\nnodes: b", "the key 'nodes' stands twice"),
    "no YAML": ("nodes: [", "it is no YAML"),
    "a list": ("[]", "Expected `object`, got `array`"),
    "a text": ("nothing", "Expected `object`, got `str`"),
    "a remark alone": ("# to be written", "got `null`"),
    "two documents": ("nodes: a\n---\nnodes: b", "a second document begins at line 2"),
    "an alias": ("nodes: &a x\nfaults: [*a]", "write it out"),
    "a tag": ("nodes: !!python/name:os.system x", "has a tag"),
    "a huge document": (f"# {'x' * 2**20}", "it is larger than 1 MiB"),
    "very many values": (f"faults: [{'a,' * 50_000}]", "it holds more than 50000 values"),
    "a deep document": ("[" * 5_000, "it is nested too deeply"),
    "a date": ("nodes: 2026-03-02", "at `$.nodes`"),
    "a day that no month has": ("nodes: 2026-02-31", "can't be read"),
}


@pytest.mark.parametrize(("text", "says"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_told_in_one_sentence(text: str, says: str) -> None:
    with pytest.raises(OrdealError, match=re.escape(says)) as refused:
        consent_of({POLICY: text})
    assert str(refused.value).startswith("the guard")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600


def test_a_halt_does_not_hide_that_a_guard_cannot_be_read() -> None:
    with pytest.raises(OrdealError, match="so nothing is allowed"):
        consent_of({POLICY: "nodez: a", HALT: "true"})


# --- written, and read back


NAMES = st.from_regex(r"[a-z]([a-z0-9./-]{0,10}[a-z0-9])?", fullmatch=True)
VALUES = st.from_regex(r"[a-z]([a-z0-9._-]{0,10}[a-z0-9])?", fullmatch=True)
PATTERNS = st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12), max_size=3).map(
    lambda found: tuple(each for each in found if each != "<<")  # which YAML gives a meaning, and no name has
)
TERMS = st.one_of(NAMES, st.builds("{}{}{}".format, NAMES, st.sampled_from(["=", "==", "!="]), VALUES | st.just("")))
TIMES = st.tuples(st.times(), st.times()).map(sorted).filter(lambda both: both[0].minute != both[1].minute)
CONDITIONS = st.one_of(
    st.builds(Url, st.text("abc:/?&=#%'\" ")),
    st.builds(Query, st.just("http://prometheus:9090"), st.text("abc{}[]()=~\"'|>#: \n\té")),
    st.builds(PodsReady, NAMES),
)


@st.composite
def windows(draw: st.DrawFn) -> str:
    begin, end = (f"{each:%H:%M}" for each in draw(TIMES))
    days = "-".join(draw(st.lists(st.sampled_from(DAYS), min_size=1, max_size=2)))
    return f"{days} {begin}-{end}{draw(st.sampled_from(['', ' UTC', ' Europe/Berlin', ' Asia/Kolkata']))}"


POLICIES = st.builds(
    Policy,
    nodes=st.lists(TERMS, max_size=3).map(",".join),
    control_plane=st.booleans(),
    most_nodes=st.integers(0, 2**40) | st.integers(0, 100).map("{}%".format),
    namespaces=PATTERNS,
    incidents=PATTERNS,
    faults=PATTERNS,
    windows=st.lists(windows(), max_size=3).map(tuple),
    stop=st.lists(CONDITIONS, max_size=3).map(tuple),
)


@given(POLICIES)
def test_what_is_written_is_read_back_the_same(policy: Policy) -> None:
    assert read(written(policy)) == policy


def test_all_of_it_is_written_so_that_its_owner_sees_what_may_be_changed() -> None:
    assert written(Policy(stop=(Url("http://shop/healthz"), PodsReady("shop")))) == (
        "nodes: kube-ordeal/allowed=true\n"
        "control_plane: false\n"
        "most_nodes: 1\n"
        "namespaces:\n- ordeal-*\n"
        "incidents:\n- '*'\n"
        "faults:\n- '*'\n"
        "windows: []\n"
        "stop:\n- kind: url\n  url: http://shop/healthz\n- kind: pods\n  namespace: shop\n"
    )


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_whatever_a_field_holds_is_taken_or_refused_in_words(value: Any) -> None:
    for field in Policy.__struct_fields__:
        with suppress(OrdealError):
            read(f"{field}: {value!r}")
