"""A Redis cluster's own words: whole or not, and why; its settings; tags that hit a shard."""

import pytest

from chaos.judge.base import Finding, Verdict, judge
from chaos.record.records import FaultStep, Sample
from chaos.record.registry import Record
from chaos.subjects.links.promises import whole_again_within
from chaos.subjects.links.records import WHOLE, NotWhole
from chaos.subjects.links.redis import SLOTS, Redis, nodes_in, slot_of, tag_in, trouble_in
from tests.judge.histories import history

IDS = [f"{n:040x}" for n in range(6)]


def said(role: str = "master") -> str:
    """What a member of a whole cluster answers."""
    info = "cluster_enabled:1\r\ncluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\n"
    masters = [
        f"{IDS[n]} 10.244.{n}.2:6379@16379,, {'myself,' if n == 0 else ''}master - 0 1700000000 {n + 1} connected "
        f"{n * 5461}-{n * 5461 + 5460 if n < 2 else 16383}"
        for n in range(3)
    ]
    replicas = [
        f"{IDS[n + 3]} 10.244.{(n + 1) % 3}.3:6379@16379 slave {IDS[n]} 0 1700000000 {n + 1} connected"
        for n in range(3)
    ]
    replication = (
        "# Replication\r\nrole:master\r\nconnected_slaves:1\r\nslave0:ip=10.244.1.3,port=6379,state=online\r\n"
        if role == "master"
        else "# Replication\r\nrole:slave\r\nmaster_host:10.244.0.2\r\nmaster_link_status:up\r\n"
    )
    return info + "\r\n".join([*masters, *replicas]) + "\r\n" + replication


@pytest.mark.parametrize("role", ["master", "slave"])
def test_a_whole_cluster_has_no_trouble(role: str) -> None:
    assert trouble_in(said(role), 6) == ""


@pytest.mark.parametrize(
    ("role", "old", "new", "says"),
    [
        ("master", "cluster_state:ok", "cluster_state:fail", "cluster_state is fail"),
        ("master", "cluster_slots_ok:16384", "cluster_slots_ok:10923", "10923 of 16384 slots"),
        ("master", f"{IDS[4]} ", "short ", "it knows 5 of 6 members"),
        (
            "master",
            f"{IDS[1]} 10.244.1.2:6379@16379,, master",
            f"{IDS[1]} 10.244.1.2:6379@16379,, master,fail?",
            "fail?",
        ),
        ("master", "4 connected", "4 disconnected", ""),
        ("master", f"slave {IDS[2]}", f"slave {IDS[1]}", "3 masters have slots, 2 of them a replica"),
        ("master", "connected_slaves:1", "connected_slaves:0", "it has 0 replicas"),
        ("slave", "master_link_status:up", "master_link_status:down", "its link to its master is down"),
    ],
)
def test_what_is_wrong_is_said(role: str, old: str, new: str, says: str) -> None:
    if says:
        assert says in trouble_in(said(role).replace(old, new), 6)


def test_a_member_that_says_nothing_is_no_whole_cluster() -> None:
    assert trouble_in("Could not connect to Redis at 10.244.0.2:6379: Connection refused", 6)


def test_nodes_are_read_with_their_slots() -> None:
    seen = nodes_in(said())
    assert len(seen) == 6
    assert seen[0].address == "10.244.0.2"
    assert seen[0].flags == ("master",)
    assert seen[2].slots == ((10922, 16383),)
    assert seen[3].master == IDS[0]


def test_a_tag_hits_its_shard() -> None:
    assert slot_of("123456789") == 0x31C3 % SLOTS  # the specification's own example of the CRC
    for first, last in ((0, 5460), (5461, 10921), (10922, 16383), (16383, 16383)):
        assert first <= slot_of(tag_in([(first, last)])) <= last


def test_settings_are_words_of_the_command() -> None:
    words = Redis("redis:7", node_timeout_s=5, replicas_to_write=1).command()
    assert words[0] == "redis-server"
    settings = dict(zip(words[1::2], words[2::2], strict=True))
    assert settings["--cluster-node-timeout"] == "5000"
    assert settings["--min-replicas-to-write"] == "1"
    assert settings["--save"] == ""


def whole(*records: Record) -> Finding:
    return judge(whole_again_within("redis", 30, fault="bad-link"), history(*records))


def undone(at: float) -> FaultStep:
    return FaultStep(at, "bad-link", "undone")


def look(at: float, value: float) -> Sample:
    return Sample(at, WHOLE, "redis", value)


def test_whole_again_each_time_is_held() -> None:
    finding = whole(undone(10), look(11, 0), look(14, 1), undone(40), look(41, 1))
    assert finding.verdict is Verdict.HELD
    assert finding.figures == {"longest_ms": 4000, "times": 2}


def test_not_whole_or_too_late_is_violated_and_says_why() -> None:
    why = NotWhole(30, "redis", "redis-0: its link to its master is down")
    finding = whole(undone(10), look(11, 0), look(39, 0), why, look(41, 0))
    assert (finding.verdict, finding.reason) == (Verdict.VIOLATED, "not-whole")
    assert "its link to its master is down" in finding.sentence
    late = whole(undone(10), look(11, 0), look(40.5, 0), look(45, 1))
    assert late.verdict is Verdict.VIOLATED
    assert "only after 35.0 s" in late.sentence


def test_what_was_not_looked_at_is_unknown() -> None:
    assert whole().verdict is Verdict.UNKNOWN
    assert whole(undone(10)).verdict is Verdict.UNKNOWN
    assert whole(undone(10), look(11, 0), look(20, 0)).verdict is Verdict.UNKNOWN
    assert whole(undone(10), look(90, 1)).verdict is Verdict.UNKNOWN  # it may have been whole for long
    assert whole(undone(10), look(11, 0), look(40, 0), look(45, 1)).verdict is Verdict.UNKNOWN
    assert whole(look(5, 1), undone(10), look(11, 1), undone(40)).verdict is Verdict.UNKNOWN


def test_the_limit_itself_is_whole_in_time_and_the_longest_is_told() -> None:
    held = whole(undone(10), look(10, 0), look(40, 1), undone(50), look(51.0626, 1))
    assert held.figures == {"longest_ms": 30000, "times": 2}
    assert held.sentence == "redis was whole again within 30.0 s each of 2 times"
    late = whole(undone(10), look(11, 0), look(40.05, 0), look(40.1, 1))
    assert late.sentence == "redis was only after 30.1 s whole again when bad-link was undone at 10.0 s; promised 30 s"
    assert (late.figures, [each.at for each in late.proof]) == ({"looks": 3}, [10, 11, 40.05, 40.1])
    never = whole(undone(10), look(11, 0), look(40.1, 0), NotWhole(12, "redis", "one"), NotWhole(13, "redis", "two"))
    assert never.sentence.endswith("redis was not whole again when bad-link was undone at 10.0 s; promised 30 s: two")
    assert len(never.proof) == 5
    short = whole(undone(10), look(11, 0), look(40.0, 0))
    assert short.sentence == "redis was not looked at for 30 s after the fault was undone"
    assert len(short.proof) == 2


def test_each_undo_is_judged_until_the_next_and_of_its_own_store_and_fault() -> None:
    other: list[Record] = [
        Sample(12, WHOLE, "another", 1),
        FaultStep(5, "power-off", "undone"),
        FaultStep(5, "bad-link", "landed"),
    ]
    assert whole(*other, undone(10), look(13, 1)).figures == {"longest_ms": 3000, "times": 1}
    shared = whole(undone(10), look(11, 0), undone(45), look(45, 1))
    assert shared.verdict is Verdict.UNKNOWN  # what comes at the second undo is of that one
    before = whole(look(9, 1), undone(10), look(10, 1))
    assert before.figures == {"longest_ms": 0, "times": 1}
    assert whole(undone(10), look(90, 0)).verdict is Verdict.VIOLATED
