"""Steps: only what is needed, in order, with the time shown; a failure says where, what and how to go on."""

import io
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from chaos.basics.progress import Report
from chaos.basics.waiting import eventually
from chaos.errors import OrdealError
from chaos.hosts import engine, packages, parts, preparations, registry
from chaos.hosts.command import run
from chaos.hosts.registry import Offer
from chaos.run import durations
from chaos.setup.steps import Lane, SetupStep, kind_steps, perform
from tests.hosts.fake_docker import FakeDocker
from tests.hosts.published import DIGEST, publish

LANES = {"fetch": Lane.MACHINE, "build": Lane.COMPILE}


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long steps took is kept in the state folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def plain() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=False, width=200), out


def meet(barrier: threading.Barrier) -> None:
    barrier.wait()


def step(title: str, did: list[str], *, needed: bool = True, fails: Callable[[], object] | None = None) -> SetupStep:
    def do(report: Report) -> None:
        report(f"working on {title} [1/2]")
        if fails is not None:
            fails()
        did.append(title)

    return SetupStep(title, lambda: needed and title not in did, do)


def test_what_is_needed_is_done_in_order_and_once() -> None:
    did: list[str] = []
    console, out = plain()
    steps = [step("a", did), step("b", did, needed=False), step("c", did)]
    assert [each.title for each in perform(steps, console)] == ["a", "c"]
    assert did == ["a", "c"]
    assert perform(steps, console) == ()
    lines = [line.split(" ", 1)[1] for line in out.getvalue().splitlines()]
    assert lines[:2] == ["start: a", "  working on a [1/2]"]
    assert lines[2].startswith("done: a, ")
    assert len(lines) == 6


def test_a_failed_step_is_named_with_its_command_and_output_and_ends_the_rest() -> None:
    did: list[str] = []
    console, out = plain()
    fails = [sys.executable, "-c", "import sys; print('no room', file=sys.stderr); sys.exit(3)"]
    with pytest.raises(OrdealError) as caught:
        perform([step("a", did), step("b", did, fails=lambda: run(fails)), step("c", did)], console)
    said = str(caught.value)
    assert "failed at 'b'" in said
    assert "exited with 3" in said
    assert "no room" in said
    assert "goes on from here" in said
    assert did == ["a"]
    assert "failed: b, after" in out.getvalue()


def test_an_interrupt_is_said_and_passed_on() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    console, out = plain()
    with pytest.raises(KeyboardInterrupt):
        perform([step("a", [], fails=interrupt)], console)
    assert "interrupted: a, after" in out.getvalue()


def test_an_interrupt_says_what_is_waited_for() -> None:
    met = threading.Barrier(2, timeout=60)
    console, out = plain()

    def install(_: Report) -> None:
        meet(met)
        eventually(lambda: "waiting for fetch" in out.getvalue(), within_s=20, what="the line", every_s=0.01)

    def interrupt(_: Report) -> None:
        meet(met)
        raise KeyboardInterrupt

    fetch = SetupStep("fetch", lambda: True, install, Lane.MACHINE)
    with pytest.raises(KeyboardInterrupt):
        perform([fetch, SetupStep("build", lambda: True, interrupt)], console)
    assert "interrupted: waiting for fetch, which is not cut" in out.getvalue()
    assert "done: fetch" in out.getvalue()


def test_a_terminal_is_given_one_line_a_step() -> None:
    out = io.StringIO()
    did: list[str] = []
    perform([step("a", did)], Console(file=out, force_terminal=True, width=80))
    assert did == ["a"]
    assert "done: a" in out.getvalue()


def test_how_long_a_step_took_is_kept_whatever_its_version() -> None:
    def step_of(title: str) -> SetupStep:
        return SetupStep(title, lambda: True, lambda _: None)

    perform([step_of("node image 1.34.4"), step_of("limits and routes")], plain()[0])
    perform([step_of("node image 1.36.3")], plain()[0])
    known = durations.load().own
    assert {key: len(took) for key, took in known.items()} == {
        "build node image": 2,
        "build limits and routes": 1,
    }


def test_how_far_all_is_is_told_while_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.setup.steps.EVERY_IN_A_LOG_S", 0.01)
    console, out = plain()

    def wait(_: Report) -> None:
        eventually(lambda: "1 of 2 done | b (" in out.getvalue(), within_s=20, what="the line", every_s=0.01)

    perform([SetupStep("a", lambda: True, lambda _: None), SetupStep("b", lambda: True, wait)], console)
    assert "over in about" in out.getvalue()


def test_what_is_fetched_goes_on_beside_what_is_compiled() -> None:
    met = threading.Barrier(2, timeout=60)  # passed only where both are under way at the same time
    console, out = plain()
    fetch = SetupStep("fetch", lambda: True, lambda _: meet(met), Lane.MACHINE)
    build = SetupStep("build", lambda: True, lambda _: meet(met))
    assert perform([fetch, build], console) == (fetch, build)
    assert {"done: fetch", "done: build"} == {
        line.split(" ", 1)[1].split(",")[0] for line in out.getvalue().splitlines() if "done" in line
    }


def test_a_step_alone_sees_what_all_before_it_did() -> None:
    did: list[str] = []
    gate = threading.Event()

    def fetch(_: Report) -> None:
        assert gate.wait(60)
        did.append("fetch")

    def build(_: Report) -> None:
        did.append("build")
        gate.set()

    alone = SetupStep("alone", lambda: "fetch" not in did, lambda _: did.append("alone"), Lane.ALONE)
    perform(
        [SetupStep("fetch", lambda: True, fetch, Lane.MACHINE), SetupStep("build", lambda: True, build), alone],
        plain()[0],
    )
    assert did == ["build", "fetch"]


def test_steps_of_the_machine_keep_their_order_and_the_first_that_fails_ends_all() -> None:
    did: list[str] = []
    failed = threading.Event()

    def fail(_: Report) -> None:
        failed.set()
        raise OrdealError("no root")

    def build(_: Report) -> None:
        assert failed.wait(60)
        did.append("build")

    steps = [
        step("a", did),
        SetupStep("engine", lambda: True, fail, Lane.MACHINE),
        SetupStep("build", lambda: True, build),
        SetupStep("rootfs", lambda: True, lambda _: did.append("rootfs"), Lane.MACHINE),
        SetupStep("image", lambda: True, lambda _: did.append("image"), Lane.ALONE),
    ]
    with pytest.raises(OrdealError, match="failed at 'engine': no root"):
        perform(steps, plain()[0])
    assert set(did) <= {"a", "build"}  # a step that was begun is ended; none is begun after the failure


def test_a_build_that_fails_lets_what_is_beside_it_end_and_begins_nothing_more() -> None:
    did: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def fetch(_: Report) -> None:
        begun.set()
        assert go_on.wait(60)
        did.append("fetch")

    def fail(_: Report) -> None:
        assert begun.wait(60)
        go_on.set()
        raise OrdealError("does not compile")

    steps = [
        SetupStep("fetch", lambda: True, fetch, Lane.MACHINE),
        SetupStep("build", lambda: True, fail),
        SetupStep("more", lambda: True, lambda _: did.append("more")),
    ]
    with pytest.raises(OrdealError, match="failed at 'build': does not compile"):
        perform(steps, plain()[0])
    assert did == ["fetch"]


def test_two_lines_at_once_are_shown_in_a_terminal() -> None:
    met = threading.Barrier(2, timeout=60)
    out = io.StringIO()
    steps = [SetupStep(name, lambda: True, lambda _: meet(met), lane) for name, lane in LANES.items()]
    perform(steps, Console(file=out, force_terminal=True, width=80))
    assert "done: fetch" in out.getvalue()
    assert "done: build" in out.getvalue()


class Registry:
    """An engine whose registry has the node image, or has not; it counts how often the registry is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, has: bool, known: bool = True) -> None:
        self.asked = 0
        monkeypatch.setattr(registry, "known", lambda image: f"{image.partition(':')[0]}@{DIGEST}" if known else "")

        def answers(_: object, image: str) -> Offer:
            self.asked += 1
            return Offer(image, there=has)

        monkeypatch.setattr(engine, "find", lambda: engine.Engine(Path("/usr/bin/docker"), "27", ours=False))
        monkeypatch.setattr(registry, "ask", answers)
        monkeypatch.setattr(preparations, "missing", lambda _: ())
        monkeypatch.setattr(parts, "lacking_packages", tuple)
        monkeypatch.setattr("chaos.setup.facts.node_image", lambda *_: "")
        monkeypatch.setattr("chaos.hosts.binaries.built", lambda *_: None)
        monkeypatch.setattr("chaos.hosts.image_rootfs.has_rootfs", lambda: False)

    def needed(self, *args: Any) -> list[str]:
        return [each.title for each in kind_steps(*args) if each.needed()]


def test_with_a_registry_only_what_a_kind_cluster_is_driven_with_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    there = Registry(monkeypatch, has=True)
    assert there.needed() == ["kind 0.33.0", "node image 1.34.4", "kubectl 1.34.4"]
    assert there.asked == 1


def test_without_a_registry_all_of_the_node_image_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = Registry(monkeypatch, has=False).needed()
    assert needed[0] == "root file system"
    assert {"control-plane 1.34.4", "kubernetes 1.34.4", "etcd 3.6.16", "coredns 1.14.1", "pause 1.0.0"} <= set(needed)
    assert needed[-1] == "node image 1.34.4"
    assert not {"kwok 0.8.0", "external-attacher 4.13.0", "csi-rbd-lock 1.13.0"} & set(needed)


def test_what_is_known_by_no_digest_is_built_whatever_a_registry_has(monkeypatch: pytest.MonkeyPatch) -> None:
    there = Registry(monkeypatch, has=True, known=False)
    assert there.needed()[-1] == "node image 1.34.4"
    assert "coredns 1.14.1" in there.needed()
    assert there.asked == 0
    assert "coredns 1.14.1" not in [each.title for each in kind_steps(kind_image="mine/node:1") if each.needed()]


def test_a_program_that_is_swapped_in_takes_a_node_image_of_our_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("chaos.hosts.image.find", lambda *_: None)
    there = Registry(monkeypatch, has=True)
    assert "coredns 1.14.1" in there.needed(("1.34.4",), {"kubelet": tmp_path / "kubelet"})
    assert there.asked == 0


@pytest.mark.parametrize(("root", "apt", "done"), [(0, True, True), (1000, True, False), (0, False, False)])
def test_packages_that_faults_lack_are_installed_where_they_can_be(
    monkeypatch: pytest.MonkeyPatch, root: int, *, apt: bool, done: bool
) -> None:
    installed: list[tuple[str, ...]] = []
    monkeypatch.setattr("chaos.setup.steps.os.geteuid", lambda: root)
    monkeypatch.setattr(parts, "lacking_packages", lambda: ("iproute2",))
    monkeypatch.setattr(packages, "can_install", lambda: apt)
    monkeypatch.setattr(packages, "install", lambda each, _: installed.append(each))
    step = next(each for each in kind_steps() if each.title == "packages for faults")
    if step.needed():
        step.do(lambda _: None)
    assert installed == ([("iproute2",)] if done else [])


def test_images_are_pulled_once_and_only_where_they_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = f"test -e {tmp_path}/$(echo $3$5 | tr -dc a-z0-9)"
    pull = f"touch {tmp_path}/$(echo $2$3 | tr -dc a-z0-9)"
    made = FakeDocker(tmp_path / "bin").install(image=there, pull=pull)
    monkeypatch.setattr(engine, "clients", lambda: [made.client])
    publish(tmp_path, monkeypatch, "kindest/node:v1.34.4", "busybox:latest")
    step = next(each for each in kind_steps() if each.title == "node image 1.34.4")
    monkeypatch.setattr("chaos.hosts.image.find", lambda *_: None)
    step.do(lambda _: None)
    pulls = [call for call in made.calls if call.startswith("pull --quiet")]
    assert pulls == [f"pull --quiet busybox@{DIGEST}", f"pull --quiet kindest/node@{DIGEST}"]
    made.install(image="exit 1")
    named = next(each for each in kind_steps(kind_image="mine/node:1") if each.title == "node image 1.34.4")
    assert named.needed()
    named.do(lambda _: None)
    assert [call for call in made.calls if call.startswith("pull --quiet")][2:] == ["pull --quiet mine/node:1"]
