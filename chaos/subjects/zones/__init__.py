"""Zones of nodes that lose the API server: taints, evictions, and their limits."""
