"""Which adapters exist, and which of them this environment has the framework for."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import cast

from tests.adapters.conformance import Driver

__all__ = ["ADAPTERS", "Adapter", "installed"]


@dataclass(frozen=True, slots=True)
class Adapter:
    """One adapter: its framework's import name, the environment it is tested in, its driver and its test files."""

    name: str
    framework: str
    environment: str
    driver: str
    # The adapter of several libraries: its name, and the modules whose library is not in this environment.
    shared: str = ""
    without: tuple[str, ...] = ()

    @property
    def package(self) -> str:
        """Its import name."""
        return f"agentguard_{self.shared or self.name}"

    @property
    def is_installed(self) -> bool:
        """Whether this environment has the framework."""
        return importlib.util.find_spec(self.framework) is not None

    def make(self) -> Driver:
        """The driver that runs the conformance cells."""
        module = importlib.import_module(f"tests.adapters.{self.name}_driver")
        return cast(Driver, getattr(module, self.driver)())


# ``environment`` is the name of a lock in requirements/.
ADAPTERS = (
    Adapter("crewai", "crewai", "crewai", "CrewAIDriver"),
    Adapter("fastmcp", "fastmcp", "agents", "FastMCPDriver", shared="mcp", without=("first",)),
    Adapter("langchain", "langchain", "dev", "LangChainDriver"),
    Adapter("mcp", "mcp_types", "agents", "MCPDriver", without=("first",)),
    # A server that lives in this environment alone tells its generation of the library.
    Adapter("mcp1", "mcp_server_fetch", "mcp1", "MCP1Driver", shared="mcp", without=("fast", "second")),
    Adapter("openai_agents", "agents", "agents", "OpenAIAgentsDriver"),
    Adapter("praisonai", "praisonaiagents", "praisonai", "PraisonAIDriver"),
    Adapter("pydantic_ai", "pydantic_ai", "agents", "PydanticAIDriver"),
)


def installed() -> list[Adapter]:
    """The adapters whose framework is here."""
    return [adapter for adapter in ADAPTERS if adapter.is_installed]
