"""One link between two nodes is bad."""

from chaos.judge.catalogue import DATABASE, DATABASE_POSTMORTEM, Control, Incident, Proof, ProvenBy, Sign

INCIDENTS = (
    Incident(
        id="bad-link",
        title="One link between two nodes is bad, and a Redis cluster over it breaks",
        level="MUST",
        claim=(
            "No pair of nodes MUST stand out by throughput, loss or round-trip time, and one that does MUST be named "
            "before anything is trusted to it. When a link of a Redis cluster is slow and lossy, and when a node has "
            "none to the others for longer than cluster-node-timeout, no write that a replica has confirmed (WAIT 1) "
            "MUST be lost, and the cluster MUST be whole again soon after the link is."
        ),
        story=(
            "A Redis cluster under redis-benchmark broke again and again, and nothing was wrong with Redis: two of the "
            "virtual machines had a bad network between them, which only iperf3 between every pair of them showed."
        ),
        source=DATABASE_POSTMORTEM,
        postmortem=DATABASE,
        remedy=(
            "Measure every pair of nodes, not each node against one other, before you trust a cluster "
            "(suites/preflight), and move or replace the machine whose links stand out. Let Redis confirm what "
            "must not be lost: WAIT 1 "
            "after the writes, and min-replicas-to-write 1, so that a master that is cut off stops taking writes. A "
            "write that only the master has acknowledged is lost with it: Redis promises no more."
        ),
        recognise=(
            Sign(
                "iperf3 -c OTHER_NODE --length 150 --parallel 100 (from each node to each other)",
                "one pair far below all others, or with many retransmissions",
            ),
            Sign("redis-cli cluster nodes", "members marked fail? or fail, by some of the others only"),
            Sign(
                "redis-cli info replication", "master_link_status:down, or a replica whose lag or offset falls behind"
            ),
        ),
        versions="every version: the network was at fault",
        controls=(
            Control(
                "bad-pair",
                "one pair of nodes is throttled: the measurement must name it, and no other",
                breaks="links-alike",
                because="that-pair",
            ),
            Control(
                "loose-limit",
                "limits so loose that a throttled and lossy link is not found",
                breaks="bad-pair-found",
                because="missed",
            ),
            Control(
                "unconfirmed",
                "writes count as acknowledged without WAIT, and a master that is cut off goes on taking them until "
                "cluster-node-timeout (no min-replicas-to-write)",
                breaks="no-acknowledged-write-lost",
                because="lost",
            ),
        ),
        proofs=(
            Proof("whole-again", ProvenBy.SABOTEUR, "stores-stalled"),
            Proof("served-again", ProvenBy.SABOTEUR, "stores-stalled"),
        ),
    ),
)
