"""Endpoints that are going: what is sent to a pod while it ends."""
