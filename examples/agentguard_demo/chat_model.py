"""Any chat model LangChain can make, by name: ``openai:gpt-5``, ``ollama:llama3`` ..."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from langchain_core.language_models import BaseChatModel

from agentguard import AdapterError, ConfigError

__all__ = ["chat_model", "model_args"]


def chat_model(name: str, args: Iterable[str] = ()) -> BaseChatModel:
    """The model ``provider:name``, made with the settings ``KEY=VALUE``.

    Raises:
        ConfigError: the name, a setting or a key the provider needs is missing or wrong.
        AdapterError: the provider's package is not installed.
    """
    from langchain.chat_models import init_chat_model

    if ":" not in name:
        raise ConfigError(f"model {name!r} names no provider; write provider:model, for example openai:gpt-5")
    try:
        made = init_chat_model(name, **model_args(args))
    except ImportError as error:
        package = (error.name or f"langchain-{name.partition(':')[0]}").replace("_", "-")
        raise AdapterError(f"model {name} needs a package that is not installed: pip install {package}") from error
    except ConfigError:
        raise
    except Exception as error:  # every provider has errors of its own
        raise ConfigError(f"model {name} cannot be made: {first_line(error)}") from error
    if not isinstance(made, BaseChatModel):
        raise ConfigError(f"model {name} is a {type(made).__name__}, no chat model")
    return made


def model_args(args: Iterable[str]) -> dict[str, Any]:
    """``KEY=VALUE`` settings; a value that is JSON (a number, true, a list) is read as such.

    Raises:
        ConfigError: one without ``=``.
    """
    read: dict[str, Any] = {}
    for arg in args:
        key, equals, value = arg.partition("=")
        if not equals or not key:
            raise ConfigError(f"model setting {arg!r}: write KEY=VALUE, for example base_url=http://localhost:8000/v1")
        try:
            read[key] = json.loads(value)
        except ValueError:
            read[key] = value
    return read


def first_line(error: BaseException) -> str:
    """What an error says, short enough for one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
