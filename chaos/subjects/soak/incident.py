"""A component that keeps something of each thing that it does."""

from chaos.judge.catalogue import Control, Incident, KnownBug, Sign

INCIDENTS = (
    Incident(
        id="component-soak",
        title="A component grows with each thing that it does",
        level="MUST",
        claim=(
            "Over thousands of schedulings and changes of Services the live heap and the goroutines of scheduler, "
            "controller manager and API server MUST NOT go on growing with each thousand of them, and what an API "
            "server reads from etcd while nobody asks MUST NOT grow with the events that are stored."
        ),
        story=(
            "A refactoring left a context behind at each sync of each pod, and kubelets grew until they were started "
            "again: 918,000 contexts were in one profile. In the scheduler a pod that was replaced under the same name "
            "at the wrong moment stayed in flight for ever, and with it every event that came after. API servers "
            "listed all keys of all events again and again to reckon how large they are. No test ran for long enough."
        ),
        source=(
            "kubernetes/kubernetes issue 139823 and pull request 139850 (2026, kubelet 1.36.0 to 1.36.2); issue 138316 "
            "and pull request 138324 (2026, scheduler); issue 133600 and pull request 133873 (2025, API server 1.34.0)"
        ),
        remedy=(
            "Upgrade to a patch that has it mended; until then start the component anew before it is ended for want of "
            "memory. Watch process_resident_memory_bytes and go_goroutines of every component over days, against what "
            "it has done meanwhile."
        ),
        recognise=(
            Sign("kubectl get --raw /api/v1/nodes/NODE/proxy/metrics", "process_resident_memory_bytes that only rises"),
            Sign(
                "kubectl get --raw '/api/v1/nodes/NODE/proxy/debug/pprof/heap?debug=1&gc=1'",
                "a stack whose bytes rise with each sync of a pod",
            ),
            Sign("the scheduler's metric scheduler_inflight_events", "a number that does not go back to 0 at rest"),
        ),
        versions=(
            "the kubelet 1.36.0 to 1.36.2 (mended in 1.36.3); the scheduler since 1.32, where queueing hints are on "
            "by default (mended in 1.34.8 and 1.35.5); the API server 1.34.0 (mended in 1.34.1)"
        ),
        controls=(
            Control(
                "leaking",
                "a client opens watches and never ends them",
                breaks="goroutines-do-not-grow",
                because="goroutines-grow",
                also_breaks=("heap-does-not-grow",),
            ),
            Control(
                "as-shipped-replaced",
                "pods that fit on no node are replaced under their names while a scheduler that was held up tries them",
                breaks="heap-does-not-grow",
                because="heap-grows",
                shipped=KnownBug("kubernetes/kubernetes#138316", since="1.32.0", mended_in=("1.34.8", "1.35.5")),
            ),
            Control(
                "event-sizes-reckoned",
                "the API server reckons the sizes of events from all of their keys, as 1.34.0 did",
                breaks="reads-do-not-grow",
                because="reads-grow",
            ),
        ),
    ),
)
