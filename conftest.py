"""Names the plugin, nothing else."""

pytest_plugins = ["chaos.plugin"]
