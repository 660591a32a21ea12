"""An API server that gives up in the first minute of its life."""

from chaos.judge.catalogue import Control, Incident, KnownBug, Sign

INCIDENTS = (
    Incident(
        id="apiserver-slow-start",
        title="An API server starts while etcd is slow, and ends itself before it is ready, again and again",
        level="MUST",
        claim=(
            "When an API server starts and its etcd does not answer, or takes no writes, for a part of the minute that "
            "start hooks have, the API server MUST NOT end itself, and MUST be ready within 60 s after etcd is back."
        ),
        story=(
            "Start hooks look through the addresses and node ports of all Services, and have a minute for it. Where "
            "the first pass failed, because etcd or a cache was not ready yet, the next one came after the minute was "
            "over: the API server ended itself, was started again, and met the same."
        ),
        source=(
            "kubernetes/kubernetes issues 130377 (2025), 136288 (2026, an upgrade to 1.33) and 141220 (2026: two "
            "replicas took 177 and 66 restarts); k0sproject/k0s issue 8246"
        ),
        remedy=(
            "Start etcd, and wait until it is healthy, before the API server; give API servers a start probe of more "
            "than a minute, so that nobody adds restarts to their own. Alert on PostStartHook in an API server's last "
            "words."
        ),
        recognise=(
            Sign("kubectl get --raw /readyz?verbose", "[-]poststarthook/start-service-ip-repair-controllers"),
            Sign("the API server's log", 'PostStartHook "start-service-ip-repair-controllers" failed'),
        ),
        versions=(
            "every version from 1.25 on tries the node ports once within the minute (pull request 141271 is open); the "
            "first pass gives etcd 30 s, 10 s before 1.32"
        ),
        controls=(
            Control(
                "etcd-away",
                "etcd stands still for longer than the minute that start hooks have",
                breaks="does-not-end-itself",
                because="post-start-hook",
                also_breaks=("ready-after-etcd",),
            ),
            Control(
                "as-shipped",
                "etcd takes no writes for the first 15 s; the first pass fails, and no other comes within the minute",
                breaks="does-not-end-itself",
                because="etcd-was-back",
                also_breaks=("ready-after-etcd",),
                shipped=KnownBug("kubernetes/kubernetes#141220", since="1.25.0"),
            ),
        ),
    ),
)
