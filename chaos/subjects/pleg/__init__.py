"""The kubelet's pod lifecycle event generator under mass churn."""
