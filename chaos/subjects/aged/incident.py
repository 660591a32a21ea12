"""What an older version wrote, and a newer one meets."""

from chaos.judge.catalogue import Control, Incident, KnownBug, Sign

INCIDENTS = (
    Incident(
        id="aged-objects",
        title="An upgraded cluster meets what an older version wrote",
        level="MUST",
        claim=(
            "When the control plane of a cluster is started anew on what older versions have stored, no component MUST "
            "end itself, no pod of a workload that nobody changed MUST be replaced, a workload that somebody changes "
            "MUST get there, the endpoints of each Service MUST follow, what selects nodes by a label MUST still find "
            "them, and each container that could start before MUST start."
        ),
        story=(
            "Objects outlive the versions that wrote them. After upgrades controllers met what had been legal for "
            "years: stored revisions that now compared as different rolled each StatefulSet, a Service from before "
            "dual stack ended the controller manager, and a node label that the old version had set was gone, and with "
            "it the nodes that a network's route reflectors were pinned to."
        ),
        source=(
            "kubernetes/kubernetes issues 138735 (a Service from before dual stack, 2026), 139132 (a Secret's bytes, "
            "2026), 136323 (a dollar sign before a letter of several bytes, 2026), 134773 (StatefulSets roll from 1.33 "
            'to 1.34, 2025) and 137409 (a faulty first revision stays, 2026); Reddit, "You Broke Reddit: The Pi-Day '
            'Outage" (14 March 2023)'
        ),
        remedy=(
            "Before the upgrade write each Service once, by a label on all (kubectl label services -A --all K=V): any "
            "write but that of the status stores what the API server fills in on reading. Mount values that are no "
            "text as files. Look for selectors by labels that the next version no longer sets (its urgent upgrade "
            "notes name them). Read which feature gates the next version turns on: an older pod, or its revision, may "
            "meet them."
        ),
        recognise=(
            Sign(
                "kubectl -n kube-system logs -l component=kube-controller-manager --previous | grep -A8 panic:",
                "index out of range [0] with length 0, below podToEndpointAddressForService",
            ),
            Sign(
                "etcdctl get --prefix /registry/services/specs -w fields | grep -a -c IPv4",
                "less than there are Services: the others were stored before dual stack and never since",
            ),
            Sign(
                "kubectl get controllerrevisions -A --sort-by=.metadata.creationTimestamp",
                "a new revision of each StatefulSet, of the minute of the upgrade",
            ),
            Sign("kubectl get daemonsets -A", "DESIRED 0 where there were pods before the upgrade"),
        ),
        versions=(
            "a Service without ipFamilies ends the controller manager of 1.33.0 to 1.33.12, 1.34.0 to 1.34.8, 1.35.0 "
            "to 1.35.5, 1.36.0 and 1.36.1 (issue 138735); a value that is no UTF-8 keeps containers from being made "
            "with 1.34.0 to 1.34.8, 1.35.0 to 1.35.5, 1.36.0 and 1.36.1 (issue 139132), a dollar sign before a letter "
            "of several bytes with 1.34.0 to 1.34.3 and 1.35.0 (issue 136323); StatefulSets roll with 1.34.0 and "
            "1.34.1; a faulty first revision stays with 1.35.0 to 1.35.3, or with the gate MaxUnavailableStatefulSet; "
            "kubeadm took node-role.kubernetes.io/master with 1.24"
        ),
        controls=(
            Control(
                "as-shipped",
                "Services from before dual stack were not written anew before the upgrade: a watch event, on which "
                "nothing fills in what they lack, brings them to the endpoints controller, and it ends the controller "
                "manager",
                breaks="components-keep-running",
                because="ended",
                also_breaks=("endpoints-follow",),
                shipped=KnownBug(
                    "kubernetes/kubernetes#138735",
                    since="1.33.0",
                    mended_in=("1.33.13", "1.34.9", "1.35.6", "1.36.2"),
                ),
            ),
            Control(
                "as-shipped-binary",
                "a container's environment has a value of a Secret that is no UTF-8, instead of a file: the kubelet's "
                "message to the container runtime can't hold it",
                breaks="containers-start",
                because="not-created",
                shipped=KnownBug(
                    "kubernetes/kubernetes#139132", since="1.34.0", mended_in=("1.34.9", "1.35.6", "1.36.2")
                ),
            ),
            Control(
                "dollar-cut",
                "a kubelet with the bug that pull request 136325 mended: a letter of several bytes after a dollar sign "
                "is cut",
                breaks="containers-start",
                because="not-created",
            ),
            Control(
                "rolled",
                "the controller manager runs with StatefulSetSemanticRevisionComparison=false: a revision that is "
                "written in another way is another one",
                breaks="only-changed-pods-replaced",
                because="replaced",
            ),
            Control(
                "pinned-label",
                "the upgrade takes a label from the nodes, as kubeadm 1.24 did, and a DaemonSet has the old selector",
                breaks="selected-nodes-stay",
                because="label-gone",
                also_breaks=("only-changed-pods-replaced",),
            ),
            Control(
                "unavailable-counted",
                "the controller manager runs with MaxUnavailableStatefulSet=true: pods that can't become Ready count "
                "as what an update may take away, and no update replaces them",
                breaks="changed-workload-follows",
                because="not-updated",
            ),
        ),
    ),
)
