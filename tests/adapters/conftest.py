"""Tests of an adapter are collected where its framework is installed; make test-frameworks runs the rest."""

from __future__ import annotations

from tests.adapters.drivers import ADAPTERS

collect_ignore_glob = [
    f"test_{adapter.name}{end}.py" for adapter in ADAPTERS if not adapter.is_installed for end in ("", "_*")
]
