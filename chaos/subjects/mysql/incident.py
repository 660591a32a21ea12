"""A replicated MySQL whose disk fills up, or whose clock goes back."""

from chaos.judge.catalogue import DATABASE, DATABASE_POSTMORTEM, Control, Incident, Proof, ProvenBy, Sign

INCIDENTS = (
    Incident(
        id="mysql-binlog",
        title="Binary logs fill the node's disk, and the database's members are evicted",
        level="MUST",
        claim=(
            "When rows are written to a replicated MySQL for longer than it keeps binary logs, no member MUST be "
            "evicted or restarted, each one's use of its disk MUST stop growing, writers MUST be served, a group that "
            "needs a majority MUST keep it, and every acknowledged row MUST be on every member."
        ),
        story=(
            "A replicated MySQL kept its data and its binary logs on the nodes' ephemeral storage, and no log expired. "
            'Under write load the disks filled up, the kubelets evicted members ("The node was low on resource: '
            'ephemeral-storage"), and when two of three were gone the group could not recover.'
        ),
        source=DATABASE_POSTMORTEM,
        postmortem=DATABASE,
        remedy=(
            "Give each member a volume (volumeClaimTemplates), so that its data outlives its pod and its use counts "
            "against nobody else's disk, and let binary logs expire: binlog_expire_logs_seconds=300, or what fits the "
            "volume at your rate of writes. Logs go at rotation only, so keep max_binlog_size well below the volume. "
            "A full volume is no way out: the server waits for room, and when a waiting commit is killed, as "
            "connectors do at their query timeout, binlog_error_action=ABORT_SERVER ends it, and again at each start. "
            "Where the members are a group that needs a majority, start the server with exec, so that an evicted "
            "member is told to end, takes its leave, and the others count without it. "
            "The way back of a Galera group whose members all say non-Primary: ask each one that runs for "
            "wsrep_last_committed (SHOW GLOBAL STATUS), and on the one with the highest number, and on no other, run "
            "SET GLOBAL wsrep_provider_options='pc.bootstrap=YES' (each second anew, where it is refused, as it is "
            "while members that lost their data look for the group); then they join it and are given its data, sooner "
            "where pods in CrashLoopBackOff are deleted. Where no server runs any more, take the one whose data has "
            "the highest seqno (grastate.dat, or where that says -1 what mariadbd --wsrep-recover says), set "
            "safe_to_bootstrap: 1 in its grastate.dat, and start it alone with --wsrep-new-cluster. Never begin the "
            "group with a member that has lost its data: that is a second, empty group."
        ),
        recognise=(
            Sign("kubectl get pods -A | grep Evicted", "members of the database among them"),
            Sign(
                "kubectl get events -A --field-selector reason=Evicted",
                '"The node was low on resource: ephemeral-storage", and how much the server used',
            ),
            Sign(
                "kubectl exec POD -- sh -c 'du -sh /var/lib/mysql; ls -l /var/lib/mysql/binlog.*'",
                "many binary logs of max_binlog_size, older than anybody needs",
            ),
            Sign(
                "mysql -e \"SHOW VARIABLES LIKE 'binlog_expire_logs_seconds'\"",
                "2592000, which is 30 days, or 0, which is for ever",
            ),
            Sign(
                "mysql -e \"SHOW GLOBAL STATUS LIKE 'wsrep_cluster_status'\"",
                "non-Primary, of a Galera group; anything else is refused: WSREP has not yet prepared node for "
                "application use",
            ),
            Sign(
                "kubectl logs POD --previous | grep WSREP",
                "gcs connect failed: Operation timed out, of members that are back and find no primary component",
            ),
        ),
        versions=(
            "every version; binlog_expire_logs_seconds from MySQL 8.0.1 on (30 days by default from 8.0.11 on), "
            "before that expire_logs_days"
        ),
        controls=(
            Control(
                "ephemeral",
                "data on the ephemeral storage of a node whose disk is small, two of three members on it, and binary "
                "logs that are kept for ever",
                breaks="no-member-evicted",
                because="evicted",
                also_breaks=("served-again", "replication-runs"),
            ),
            Control(
                "full-volume",
                "a volume that is too small for binary logs that are kept for ever, and clients that kill what takes "
                "too long: the server waits for room, ends when a commit is killed, and ends again at each start",
                breaks="no-container-restarted",
                because="restarted",
                also_breaks=("served-again", "replication-runs"),
            ),
            Control(
                "no-expiry",
                "binary logs that are kept for ever, on a volume that has room for a while: they grow past what a "
                "member may use",
                breaks="disk-use-bounded",
                because="over-limit",
            ),
            Control(
                "rows-dropped",
                "a replica whose table's engine is BLACKHOLE: it acknowledges all that it is told, and keeps nothing",
                breaks="no-acknowledged-write-lost",
                because="lost",
            ),
            Control(
                "group-lost",
                "a Galera group of three on ephemeral storage, two members on the node whose disk fills up, each "
                "behind a shell that does not pass on the signal to end: evicted members take no leave, the third is "
                "left without a quorum, and the two that come back with nothing find no group that they could join",
                breaks="group-stays-primary",
                because="stays-without-quorum",
                also_breaks=("no-member-evicted", "no-container-restarted", "served-again"),
            ),
        ),
    ),
    Incident(
        id="mysql-clock",
        title="A server's clock goes back, and the server ends",
        level="MUST",
        claim=(
            "When the clock of one server goes back by 1 s, 1 min or 1 h, and forward again, the server MUST stay up "
            "and serve, replication MUST go on, and no acknowledged row MUST be lost."
        ),
        story=(
            "A server's clock went back, and MySQL ended with the assertion `log0write.cc:1799: time_elapsed >= 0`: "
            "its log writer took the time of day for one that never goes back."
        ),
        source=DATABASE_POSTMORTEM,
        postmortem=DATABASE,
        remedy=(
            "Run MySQL 8.0.13 or newer. Let clocks be slewed, not stepped (chrony without makestep after the start). "
            "Write no liveness probe that compares clocks: it ends a server that is well."
        ),
        recognise=(
            Sign("kubectl logs POD --previous | grep 'time_elapsed >= 0'", "the assertion, just before the end"),
            Sign("kubectl get pods -A -o jsonpath='{..image}' | tr ' ' '\\n' | grep -E 'mysql.*:8.0.1[12]'", "a tag"),
            Sign("chronyc tracking; journalctl -u chrony | grep -i step", "a system clock that was stepped back"),
        ),
        versions="affected: MySQL 8.0.11 and 8.0.12; mended in 8.0.13",
        controls=(
            Control(
                "clock-probe",
                "a liveness probe that wants the server's clock to be its node's: the kubelet ends a server that is "
                "well",
                breaks="no-container-restarted",
                because="restarted",
                also_breaks=("served-again", "replication-runs"),
            ),
            Control(
                "affected-version",
                "MySQL 8.0.11 or 8.0.12, where --ordeal-mysql-clock-image names such an image; without one it is not "
                "run",
                breaks="no-container-restarted",
                because="restarted",
            ),
            Control(
                "named-version",
                "a pod that names an image of MySQL 8.0.12, which is never pulled: the preflight must find it",
                breaks="server-version-not-affected",
                because="affected-version",
            ),
        ),
        proofs=(
            Proof("clock-was-turned", ProvenBy.SABOTEUR, "fault-lies"),
            Proof("no-acknowledged-write-lost", ProvenBy.SABOTEUR, "rows-deleted"),
        ),
    ),
)
