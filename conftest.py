"""Names the plugin, for where pytest does not look for plugins by itself; with the options' old names."""

import pytest

from chaos.run import old_names

pytest_plugins = ["chaos.plugin"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """A plugin that a conftest brings comes too late to translate them."""
    old_names.add(parser)
