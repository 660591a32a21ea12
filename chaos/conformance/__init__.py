"""Upstream's own end-to-end tests (e2e.test, Ginkgo specs) run against a cluster, spec by spec."""
