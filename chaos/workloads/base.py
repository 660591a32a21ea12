"""What all workloads share."""

WORKLOAD_LABEL = "kube-ordeal/workload"  # on every pod of a workload; its value is the workload's name
