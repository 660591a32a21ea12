"""A kube-proxy that can't write its rules."""

from chaos.judge.catalogue import Control, Incident, Proof, ProvenBy, Sign

INCIDENTS = (
    Incident(
        id="stale-proxy-rules",
        title="kube-proxy can't write its rules any more, and a node's Services lead to pods that are gone",
        level="MUST",
        claim=(
            "When a chain that an earlier kube-proxy left over keeps rules from being written, kube-proxy's health "
            "MUST say so within two sync periods (60 s) of a change of endpoints, also while more come, and once "
            "the chain is gone changes MUST be in the node's rules within 30 s, without a restart. In nftables mode "
            "they MUST be there as if there was no such chain."
        ),
        story=(
            "After an upgrade past several versions a chain of the old kube-proxy stayed, with a jump to the chain of "
            "an endpoint. For weeks nothing happened. Then that endpoint went, its chain could not be deleted, and "
            "iptables-restore does all of what it is told or nothing: from then on no change reached the node. "
            "Somewhere else each change of endpoints met a failing iptables-restore after a staged upgrade, and the "
            "rules of the nodes went stale one by one."
        ),
        source=(
            'CircleCI, "Incident Report: 2023-03-14 - Delays Starting Jobs"; kubernetes/kubernetes issues 132516 '
            "(2025) and 105742 (2021), pull request 109483"
        ),
        remedy=(
            "Upgrade kube-proxy version by version, or run kube-proxy --cleanup on a node, or start it anew, before "
            "another kube-proxy takes over. Watch its health (port 10256, /healthz) and the metric "
            "kubeproxy_sync_proxy_rules_iptables_restore_failures_total. By hand: iptables -t nat -F CHAIN, then -X."
        ),
        recognise=(
            Sign("curl http://NODE:10256/healthz", "503, and a lastUpdated that is long ago"),
            Sign("kubectl logs -n kube-system kube-proxy-...", "Failed to execute iptables-restore, CHAIN_DEL failed"),
            Sign("iptables-save -t nat | grep KUBE-XLB", "a chain that kube-proxy has not known since 1.28"),
        ),
        versions=(
            "kube-proxy in iptables mode from 1.28 on, where chains of 1.23 and before are left over; before 1.26 its "
            "health did not say so while changes came (pull request 109483)"
        ),
        controls=(
            Control(
                "left-over-chain",
                "kube-proxy in its shipped mode, iptables",
                breaks="endpoint-changes-arrive",
                because="restore-failed",
            ),
            Control(
                "deaf-proxy",
                "kube-proxy stands still (SIGSTOP) while the chain is removed",
                breaks="changes-arrive-afterwards",
                because="proxy-stopped",
            ),
            Control(
                "no-bug",
                "the shipped kube-proxy under the mutant's name: nothing is found in it",
                breaks="mutants-killed",
                because="survived",
            ),
        ),
        proofs=(Proof("health-says-so", ProvenBy.MUTANT, "last-change-counts"),),
    ),
)
