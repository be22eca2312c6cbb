"""Tests of an adapter are collected where its framework is installed; make test-frameworks runs the rest."""

from __future__ import annotations

import importlib.util

import pytest

from tests.adapters.drivers import ADAPTERS

collect_ignore_glob = [
    f"test_{adapter.name}{end}.py" for adapter in ADAPTERS if not adapter.is_installed for end in ("", "_*")
]

# PraisonAI and LiteLLM drop event loops, and clients of loops that ended, without closing them.
_DROPPED = "ignore:Exception ignored in. <(socket|function (BaseEventLoop|_SelectorTransport)):"


def pytest_configure(config: pytest.Config) -> None:
    """Where that framework is: its own warnings are no failures of a test that happens to run then."""
    if importlib.util.find_spec("praisonaiagents") is not None:
        config.addinivalue_line("filterwarnings", f"{_DROPPED}pytest.PytestUnraisableExceptionWarning")
