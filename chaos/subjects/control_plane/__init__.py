"""The control plane's machine dies, or another takes its place."""
