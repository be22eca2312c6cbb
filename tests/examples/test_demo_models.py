"""The demo with a model over the wire: the real OpenAI client against a server of the chat-completions protocol."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from agentguard import ConfigError
from agentguard_demo.chat_model import model_args
from tests.examples.chat_completions import Answer, ChatCompletions, obedient, wary
from tests.examples.test_demo import ENVIRONMENT, ROOT

KEY = {"OPENAI_API_KEY": "test-key"}


def demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in ENVIRONMENT.items() if not name.startswith("OPENAI")}
    return subprocess.run(
        [sys.executable, "-m", "agentguard.cli", "demo", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=inherited | environment,
    )


def fickle(messages: list[dict[str, Any]]) -> AIMessage:
    """Falls for the classic formula only, so that what the guard removes keeps it honest."""
    whole = json.dumps(messages)
    return obedient(messages) if "Ignore all previous instructions" in whole else wary(messages)


@pytest.mark.parametrize(
    ("answer", "streaming", "accounts"),
    [
        pytest.param(obedient, False, {"stopped"}, id="obeys"),
        pytest.param(obedient, True, {"stopped"}, id="obeys-streaming"),
        pytest.param(wary, False, {"not-fallen-for"}, id="does-not-fall-for-it"),
        pytest.param(fickle, False, {"not-tried-again"}, id="kept-from-reading-it"),
    ],
)
def test_what_the_model_did_is_told_apart_from_what_the_guard_did(
    answer: Answer, streaming: bool, accounts: set[str]
) -> None:
    with ChatCompletions(answer) as server:
        done = demo(
            "--json", "--model", "openai:some-model", "--model-arg", f"streaming={json.dumps(streaming)}",
            OPENAI_BASE_URL=server.url, **KEY,
        )  # fmt: skip

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["held"], told["scripted"], told["guarded"]["harm"]) == (True, False, [])
    assert set(told["accounts"].values()) == accounts
    assert told["unguarded"]["honest_done"]
    assert told["guarded"]["honest_done"]
    assert bool(told["unguarded"]["harm"]) == (answer is not wary)
    assert all(request.get("stream", False) == streaming for request in server.requests)
    assert {tool["function"]["name"] for tool in server.requests[0]["tools"]} >= {"send_mail", "delete_file"}


def test_a_person_is_told_in_words() -> None:
    with ChatCompletions(wary) as server:
        done = demo("--model", "openai:some-model", "--model-arg", f"base_url={server.url}", COLUMNS="200", **KEY)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the model did not fall for it") == 4


def test_a_model_that_never_ends_is_stopped_and_said_so() -> None:
    def endless(messages: list[dict[str, Any]]) -> AIMessage:
        call = {"name": "list_customers", "args": {}, "id": f"c{len(messages)}", "type": "tool_call"}
        return AIMessage("", tool_calls=[call])

    with ChatCompletions(endless) as server:
        done = demo("--json", "--model", "openai:m", OPENAI_BASE_URL=server.url, **KEY)

    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert told["guarded"]["ended"] == told["unguarded"]["ended"] == "no end after 80 turns"
    assert not told["guarded"]["honest_done"]


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "words"),
    [
        pytest.param(["--model", "openai:m"], {}, 2, "api_key", id="no-key"),
        pytest.param(["--model", "gpt"], KEY, 2, "provider:model", id="no-provider"),
        pytest.param(["--model", "nosuch:m"], KEY, 2, "nosuch", id="unknown-provider"),
        pytest.param(["--model", "anthropic:m"], KEY, 3, "pip install langchain-anthropic", id="package-missing"),
        pytest.param(["--model", "openai:m", "--model-arg", "x"], KEY, 2, "KEY=VALUE", id="setting-without-value"),
        pytest.param(
            ["--model", "openai:m", "--model-arg", "base_url=http://127.0.0.1:9/v1", "--model-arg", "max_retries=0"],
            KEY, 3, "could not be asked", id="nobody-listens",
        ),
    ],
)  # fmt: skip
def test_what_is_missing_is_one_clear_line(
    arguments: list[str], environment: dict[str, str], code: int, words: str
) -> None:
    done = demo(*arguments, **environment)

    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("agentguard: ")
    assert words in line


def test_a_wrong_key_is_one_line_without_the_key() -> None:
    with ChatCompletions(wary) as server:
        done = demo("--model", "openai:m", OPENAI_BASE_URL=server.url, OPENAI_API_KEY="another-key")

    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert "Incorrect API key" in line
    assert "another-key" not in line


def test_settings_are_read_as_json_where_they_are() -> None:
    read = model_args(["temperature=0", "streaming=true", "base_url=http://localhost:1/v1?a=b", "name=007x"])

    assert read == {"temperature": 0, "streaming": True, "base_url": "http://localhost:1/v1?a=b", "name": "007x"}
    with pytest.raises(ConfigError):
        model_args(["=x"])


def test_make_hands_model_and_settings_on(tmp_path: Path) -> None:
    made = subprocess.run(
        ["make", "--dry-run", "demo", "MODEL=openai:m", "MODEL_ARGS=temperature=0 base_url=http://localhost:1/v1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert (
        "demo --model 'openai:m' --model-arg 'temperature=0' --model-arg 'base_url=http://localhost:1/v1'"
        in made.stdout
    )
