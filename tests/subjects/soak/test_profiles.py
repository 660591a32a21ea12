"""Profiles as text, as Go's runtime writes them."""

import pytest

from chaos.subjects.soak import profiles
from chaos.subjects.soak.records import Keeper

HEAP = """heap profile: 4: 1049088 [9: 2049088] @ heap/1048576
2: 1048576 [2: 1048576] @ 0x48b413 0x490873
#\t0x48b412\tcontext.withCancel+0x95\t\tcontext/context.go:267
#\t0x490872\tk8s.io/kubernetes/pkg/kubelet.(*podWorkers).startPodSync+0x1b\tk8s.io/kubernetes@v1.34.4/pkg/kubelet/a.go:9

2: 512 [2: 512] @ 0x48b413
#\t0x48b412\tk8s.io/api/core/v1.(*Pod).Unmarshal+0x95\t\tk8s.io/api@v0.34.4/core/v1/generated.pb.go:2

0: 0 [5: 1000000] @ 0x48b413
#\t0x48b412\tgone.Function+0x95\t\tgone/gone.go:2

# runtime.MemStats
# Alloc = 83126496
# HeapAlloc = 83126400
# NumGC = 15
"""
GOROUTINES = """goroutine profile: total 188
183 @ 0x48dcce 0x469f65
#\t0x1d726ca\tgoogle.golang.org/grpc/internal/grpcsync.(*CallbackSerializer).run+0x10a\tgoogle.golang.org/grpc@v1/a.go:88

5 @ 0x48dcce
# labels: {"a":"b"}
#\t0x559939\tinternal/poll.runtime_pollWait+0x84\t\truntime/netpoll.go:351
#\t0x559940\tk8s.io/apiserver/pkg/server.Run+0x84\t\tk8s.io/apiserver@v0/a.go:351
"""
METRICS = """# HELP scheduler_schedule_attempts_total Number of attempts
# TYPE scheduler_schedule_attempts_total counter
scheduler_schedule_attempts_total{profile="default-scheduler",result="scheduled"} 12
scheduler_schedule_attempts_total{profile="default-scheduler",result="unschedulable"} 1.5e+01
scheduler_schedule_attempts_total_of_others 7
process_start_time_seconds 1.79609974859e+09
not_a_number NaN
"""


def test_a_heap_has_its_live_bytes_and_who_holds_them() -> None:
    live, holders = profiles.heap(HEAP)
    assert live == 83126400
    context = "context.withCancel by k8s.io/kubernetes/pkg/kubelet.(*podWorkers).startPodSync"
    # One object of the sampling rate's size stands for 1 / (1 - 1/e) of them, small ones for many more.
    assert [each.stack for each in holders] == [context, "k8s.io/api/core/v1.(*Pod).Unmarshal"]
    assert [each.held for each in holders] == [1658823, 1048832]


def test_goroutines_have_their_number_and_where_they_stand() -> None:
    assert profiles.goroutines(GOROUTINES) == (
        188,
        (
            Keeper("google.golang.org/grpc/internal/grpcsync.(*CallbackSerializer).run", 183),
            Keeper("internal/poll.runtime_pollWait by k8s.io/apiserver/pkg/server.Run", 5),
        ),
    )


@pytest.mark.parametrize("text", ["", "forbidden", HEAP.replace("HeapAlloc", "Other"), "heap profile: 1"])
def test_another_text_is_no_profile(text: str) -> None:
    with pytest.raises(ValueError, match="no heap profile"):
        profiles.heap(text)
    with pytest.raises(ValueError, match="no goroutine profile"):
        profiles.goroutines(text)


def test_a_figure_is_the_sum_of_its_lines() -> None:
    attempts = "scheduler_schedule_attempts_total"
    assert profiles.figure(METRICS, attempts) == 27
    assert profiles.figure(METRICS, attempts, 'result="scheduled"') == 12
    assert profiles.figure(METRICS, "process_start_time_seconds") == 1796099748.59
    for missing in ((attempts, 'result="error"'), ("nothing",), ("not_a_number",)):
        with pytest.raises(ValueError, match="no figure"):
            profiles.figure(METRICS, *missing)
