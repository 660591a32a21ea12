"""A comparison that fails says what differs."""

from dataclasses import dataclass, replace

import pytest

from tests.comparing import differences, settled, wait_as_before


@dataclass(frozen=True)
class Picture:
    taints: dict[str, tuple[str, ...]]
    routes: dict[str, str]
    replicas: dict[str, tuple[int, int]]


BEFORE = Picture({"w1": (), "w2": ()}, {"w1": "default via a\n10.1.0.0/24 via b"}, {"coredns": (2, 2)})


def test_nothing_differs_where_all_is_the_same() -> None:
    assert differences(BEFORE, replace(BEFORE)) == ""
    assert differences({"a": 1, "b": [1]}, {"b": [1], "a": 1}) == ""


def test_what_differs_is_named_with_its_place() -> None:
    after = Picture({"w1": ("disk-pressure:NoSchedule",)}, {"w1": "default via a"}, {"coredns": (2, 1)})
    assert differences(BEFORE, after).splitlines() == [
        "taints, w1: +disk-pressure:NoSchedule",
        "taints, w2: +None",
        "routes, w1: -10.1.0.0/24 via b",
        "replicas, coredns: -(2, 2); +(2, 1)",
    ]


def test_waiting_in_vain_says_what_differs_at_the_end() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"routes, w1: -10\.1\.0\.0/24 via b"):
        wait_as_before(lambda: replace(BEFORE, routes={"w1": "default via a"}), BEFORE, within_s=0.1)


def test_a_look_that_fails_at_the_end_is_told() -> None:
    def look() -> Picture:
        raise OSError("no answer")

    with pytest.raises(pytest.fail.Exception, match="no answer"):
        wait_as_before(look, BEFORE, within_s=0.1)


def test_it_ends_when_all_is_as_before() -> None:
    looks = [replace(BEFORE, taints={}), BEFORE]
    wait_as_before(lambda: looks.pop(0) if len(looks) > 1 else looks[0], BEFORE, within_s=60)


def sound(picture: Picture) -> str:
    return f"tainted: {picture.taints}" if any(picture.taints.values()) else ""


def test_a_cluster_is_settled_when_it_is_sound_and_still() -> None:
    tainted = replace(BEFORE, taints={"w1": ("unreachable:NoExecute",)})
    other = replace(BEFORE, routes={})
    looks = [tainted, tainted, other, BEFORE, BEFORE]
    assert settled(lambda: looks.pop(0), sound, within_s=60) == BEFORE
    assert looks == []


def test_one_that_does_not_settle_is_told_with_the_reason() -> None:
    tainted = replace(BEFORE, taints={"w1": ("unreachable:NoExecute",)})
    with pytest.raises(pytest.fail.Exception, match=r"tainted: .*unreachable:NoExecute"):
        settled(lambda: tainted, sound, within_s=1.5)
    numbers = iter(range(1000))
    with pytest.raises(pytest.fail.Exception, match=r"it differs from look to look:\nreplicas, coredns"):
        settled(lambda: replace(BEFORE, replicas={"coredns": (next(numbers), 0)}), sound, within_s=1.5)
