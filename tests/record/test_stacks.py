"""Goroutine dumps, as the runtime writes them."""

import pytest

from chaos.record.stacks import parse, relist_blocked_on_send, relist_said, summary

BLOCKED = """goroutine profile starts here, and this line is none of it
goroutine 412 [chan send, 3 minutes]:
k8s.io/kubernetes/pkg/kubelet/pleg.(*GenericPLEG).Relist(0xc000c0a000)
\t/build/pkg/kubelet/pleg/generic.go:338 +0xa25
k8s.io/apimachinery/pkg/util/wait.BackoffUntil.func1(0x0?, {0x1, 0x2})
\t/build/wait/backoff.go:226 +0x33
created by k8s.io/kubernetes/pkg/kubelet/pleg.(*GenericPLEG).Start in goroutine 1
\t/build/pkg/kubelet/pleg/generic.go:173 +0x1a5

goroutine 1 [select, 12 minutes, locked to thread]:
k8s.io/kubernetes/pkg/kubelet.(*Kubelet).syncLoop(0xc000, {0x3a, 0x4})
\t/build/pkg/kubelet/kubelet.go:2411 +0x1

goroutine 7 [IO wait]:
internal/poll.runtime_pollWait(0x7f, 0x72)
\t/go/src/runtime/netpoll.go:351 +0x85
"""
INSIDE = """goroutine 9 [chan send]:
k8s.io/kubernetes/pkg/kubelet/pleg.(*GenericPLEG).reconcilePodRecord(0xc0, {0x1, 0x2}, {0xc0, 0x24})
\t/x.go:1
k8s.io/kubernetes/pkg/kubelet/pleg.(*GenericPLEG).Relist(0xc0)
\t/x.go:2
"""
OF_ONE_POD = INSIDE.replace("Relist(", "relistPod(")
LISTING = """goroutine 9 [select]:
google.golang.org/grpc/internal/transport.(*Stream).waitOnHeader(0xc0)
\t/x.go:1
k8s.io/cri-client/pkg.(*remoteRuntimeService).ListPodSandbox(0xc0, {0x1, 0x2})
\t/x.go:2
k8s.io/kubernetes/pkg/kubelet/pleg.(*GenericPLEG).Relist(0xc0)
\t/x.go:3
"""


def test_goroutines_are_read_with_state_wait_and_functions() -> None:
    relist, loop, poll = parse(BLOCKED)
    assert (relist.state, relist.waited_min) == ("chan send", 3)
    assert relist.functions == (
        "k8s.io/kubernetes/pkg/kubelet/pleg.(*GenericPLEG).Relist",
        "k8s.io/apimachinery/pkg/util/wait.BackoffUntil.func1",
    )
    assert (loop.state, loop.waited_min) == ("select", 12)
    assert poll.functions == ("internal/poll.runtime_pollWait",)


def test_a_relist_that_waits_to_send_is_named() -> None:
    found = relist_blocked_on_send(parse(BLOCKED))
    assert found is not None
    assert "BLOCKED" in relist_said(parse(BLOCKED))
    assert "for 3 min" in relist_said(parse(BLOCKED))


def test_newer_kubelets_send_from_a_function_inside_relist() -> None:
    assert relist_blocked_on_send(parse(INSIDE)) is not None


def test_from_1_36_on_one_pod_may_be_relisted_by_itself() -> None:
    assert relist_blocked_on_send(parse(OF_ONE_POD)) is not None
    assert "BLOCKED" in relist_said(parse(OF_ONE_POD))


def test_a_relist_that_waits_for_the_runtime_is_not_blocked_on_its_channel() -> None:
    assert relist_blocked_on_send(parse(LISTING)) is None
    assert "waitOnHeader [select]" in relist_said(parse(LISTING))


def test_a_send_elsewhere_is_no_blocked_relist() -> None:
    other = BLOCKED.replace("pleg.(*GenericPLEG).Relist(", "config.(*PodConfig).Sync(")
    assert relist_blocked_on_send(parse(other)) is None
    assert relist_said(parse(other)) == "no goroutine is inside a PLEG relist"


def test_the_summary_counts_states_and_places() -> None:
    said = summary(BLOCKED)
    assert said.startswith("3 goroutines\n")
    assert "     1  chan send\n" in said
    assert "k8s.io/kubernetes/pkg/kubelet.(*Kubelet).syncLoop [select]" in said
    assert "the longest wait: 12 min" in said
    assert "the PLEG relist is BLOCKED" in said


@pytest.mark.timeout(10)  # a line of that length took 30 s
@pytest.mark.parametrize(
    "head",
    [
        "goroutine 2 [chan send]:",
        f"goroutine 2 [chan send, {'9' * 5000} minutes]:",
        "goroutine 2 [select, 999999999999 minutes]:",
        f"goroutine 2 [{'[' * 200_000}",
    ],
    ids=lambda head: head[:30],
)
def test_a_dump_that_no_go_program_writes_does_no_harm(head: str) -> None:
    """A goroutine without a function among them."""
    said = summary(f"{head}\n\n{LISTING}")
    assert "the PLEG relist is in google.golang.org/grpc/internal/transport.(*Stream).waitOnHeader [select]" in said
    assert "the longest wait" not in said


def test_no_dump_is_said_to_be_none() -> None:
    assert summary("connection refused") == "no goroutine in this dump\n"
