"""Kubelets that are restarted or replaced under running pods."""
