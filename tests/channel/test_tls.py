"""Handshakes between the module's own contexts, in memory."""

from __future__ import annotations

import ssl
import sys
import tempfile
from pathlib import Path

import pytest

from agentguard.channel import SpiffeId, check_peer, client_context, server_context
from agentguard.errors import PeerRefused
from tests.channel.forge import RESEARCHER, WRITER, Forge


def shake(client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends after the handshake."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_side=False)
    other = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (one, other):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return one, other


def test_each_side_learns_the_others_name() -> None:
    forge = Forge.make()
    client, server = forge.source(RESEARCHER), forge.source(WRITER)

    one, other = shake(client_context(client.identity), server_context(server.identity))

    expected = frozenset({SpiffeId.parse(WRITER)})
    assert check_peer(one, client.identity, client, expected=expected).spiffe_id.agent == "writer"
    assert check_peer(other, server.identity, server, expected=None).spiffe_id.agent == "researcher"


def test_without_memory_files_the_key_lies_in_a_private_file_for_a_moment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[int] = []
    load = ssl.SSLContext.load_cert_chain

    def looked(self: ssl.SSLContext, path: str, **how: object) -> None:
        seen.append(Path(path).stat().st_mode & 0o777)
        load(self, path, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", looked)

    client_context(Forge.make().identity())

    assert seen == [0o600]
    assert list(tmp_path.iterdir()) == []


def test_with_memory_files_no_file_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("memory files are Linux's")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))

    client_context(Forge.make().identity())


def test_a_server_with_another_name_is_refused() -> None:
    forge = Forge.make()
    client, server = forge.source(RESEARCHER), forge.source(WRITER)

    one, _ = shake(client_context(client.identity), server_context(server.identity))

    with pytest.raises(PeerRefused) as refused:
        check_peer(one, client.identity, client, expected=frozenset({SpiffeId.parse(RESEARCHER)}))
    assert (refused.value.reason, refused.value.presented) == ("unexpected-identity", WRITER)
