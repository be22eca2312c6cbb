"""The block list: genuine, numbered, never rolled back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from agentguard.channel import BlockList, SpiffeId
from agentguard.errors import IdentityError
from tests.channel.forge import DOMAIN, RESEARCHER, WRITER, Forge

FORGE = Forge.make()
SIGNERS = [FORGE.issuing.certificate]
KNOWN = BlockList(DOMAIN, 3, frozenset({SpiffeId.parse(WRITER)}), frozenset({255}))
EMPTY = BlockList(DOMAIN)
# ECDSA signs differently each time: a property needs one document.
DOCUMENT = KNOWN.signed(FORGE.issuing.key)


@given(
    st.integers(1, 2**53),
    st.frozensets(st.builds(SpiffeId.of_agent, st.just(DOMAIN), st.text("abc", min_size=1, max_size=9))),
    st.frozensets(st.integers(0, 2**159)),
)
def test_a_signed_list_reads_back(version: int, identities: frozenset[SpiffeId], serials: frozenset[int]) -> None:
    listed = BlockList(DOMAIN, version, identities, serials)

    assert EMPTY.successor(listed.signed(FORGE.issuing.key), SIGNERS) == listed


@given(st.data())
def test_one_changed_byte_is_noticed(data: st.DataObject) -> None:
    document = bytearray(DOCUMENT)
    place = data.draw(st.integers(0, len(document) - 1))
    document[place] ^= 1 << data.draw(st.integers(0, 7))

    try:
        found = EMPTY.successor(bytes(document), SIGNERS)
    except IdentityError:
        return
    assert found == KNOWN  # unused bits of base64


@given(st.binary(max_size=300))
def test_garbage_is_an_identity_error(document: bytes) -> None:
    with pytest.raises(IdentityError):
        EMPTY.successor(document, SIGNERS)


def test_a_rollback_is_refused() -> None:
    older = replace(KNOWN, version=2, serials=frozenset()).signed(FORGE.issuing.key)

    with pytest.raises(IdentityError, match="rolled back: got version 2, know 3"):
        KNOWN.successor(older, SIGNERS)


def test_two_lists_of_one_number_are_refused() -> None:
    other = replace(KNOWN, serials=frozenset()).signed(FORGE.issuing.key)

    with pytest.raises(IdentityError, match="forged"):
        KNOWN.successor(other, SIGNERS)


def test_the_same_list_again_is_fine() -> None:
    assert KNOWN.successor(KNOWN.signed(FORGE.issuing.key), SIGNERS) == KNOWN


def test_another_domains_list_is_refused() -> None:
    foreign = replace(KNOWN, trust_domain="elsewhere.example").signed(FORGE.issuing.key)

    with pytest.raises(IdentityError, match="elsewhere"):
        EMPTY.successor(foreign, SIGNERS)


@pytest.mark.parametrize("signer", ["another CA", "an agent", "nobody"])
def test_a_list_that_no_ca_of_the_bundle_signed_is_refused(signer: str) -> None:
    key = {"another CA": Forge.make().issuing.key, "an agent": FORGE.issuing.leaf().key, "nobody": FORGE.root.key}[
        signer
    ]
    document = KNOWN.signed(key)  # type: ignore[arg-type]
    if signer == "nobody":
        document = json.dumps({**json.loads(document), "signature": ""}).encode()

    with pytest.raises(IdentityError, match="not signed"):
        EMPTY.successor(document, SIGNERS)


def test_the_signature_is_over_a_label() -> None:
    """What a CA signed for another purpose is no block list, even with the same bytes."""
    import base64

    document = json.loads(KNOWN.signed(FORGE.issuing.key))
    bare = FORGE.issuing.key.sign(base64.b64decode(document["content"]), ec.ECDSA(SHA256()))
    document["signature"] = base64.b64encode(bare).decode()

    with pytest.raises(IdentityError, match="not signed"):
        EMPTY.successor(json.dumps(document).encode(), SIGNERS)


@pytest.mark.parametrize(
    ("name", "serial", "blocked"),
    [
        pytest.param(WRITER, 1, True, id="the-identity"),
        pytest.param(f"{WRITER}/2", 1, True, id="an-instance-of-it"),
        pytest.param(f"{WRITER}s", 1, False, id="a-longer-name"),
        pytest.param(RESEARCHER, 255, True, id="the-serial-number"),
        pytest.param(RESEARCHER, 256, False, id="neither"),
    ],
)
def test_who_is_blocked(name: str, serial: int, blocked: bool) -> None:
    assert KNOWN.blocks(SpiffeId.parse(name), serial) is blocked


def test_a_list_is_bounded() -> None:
    with pytest.raises(IdentityError, match="10000"):
        replace(EMPTY, serials=frozenset(range(10_001))).signed(FORGE.issuing.key)
