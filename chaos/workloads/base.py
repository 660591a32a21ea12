"""What all workloads share."""

WORKLOAD_LABEL = "kube-ordeal/workload"  # on every pod of a workload; its value is the workload's name
RUN_LABEL = "kube-ordeal/run"  # on what a run has made; its value is the run's id
