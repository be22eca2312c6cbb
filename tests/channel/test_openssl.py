"""Certificates that another program made, and another program at the other end: the ``openssl`` command line."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from agentguard.channel import ALPN, Authority, CertificateFiles, SpiffeId, server_context
from agentguard.errors import IdentityError
from agentguard.store import Home
from tests.channel.attackers import Listener, attack_server, lenient
from tests.channel.forge import DOMAIN, RESEARCHER, WRITER, Forge, HeldIdentity

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="not run: openssl is not installed")

CONFIG = """
[req]
distinguished_name = name
prompt = no
[name]
CN = made by openssl
[ca]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[issuing]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
nameConstraints = critical, permitted;URI:{domain}
[leaf]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = URI:{uri}
[leaf_without_identifier]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
authorityKeyIdentifier = none
subjectAltName = URI:{uri}
[leaf_with_two_names]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
authorityKeyIdentifier = keyid
subjectAltName = URI:{uri}, URI:{uri}x
"""


class Workshop:
    """A CA made of files and shell commands, as many a company has one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "ca.cnf").write_text(CONFIG.format(domain=DOMAIN, uri=RESEARCHER))
        self.run("req -x509 -newkey ec:p256 -nodes -keyout root.key -out root.pem -days 30 -config ca.cnf "
                 "-extensions ca -subj /CN=root")  # fmt: skip
        self.sign("issuing", "issuing", by="root", days="7")

    def run(self, arguments: str) -> subprocess.CompletedProcess[bytes]:
        assert OPENSSL is not None
        words = arguments.replace("ec:p256", "ec -pkeyopt ec_paramgen_curve:P-256").split()
        return subprocess.run([OPENSSL, *words], cwd=self.folder, check=True, capture_output=True, timeout=60)

    def sign(self, name: str, section: str, *, by: str, days: str = "1", key: str = "ec:p256") -> None:
        self.run(f"req -new -newkey {key} -nodes -keyout {name}.key -out {name}.csr -config ca.cnf -subj /CN={name}")
        self.run(f"x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -out {name}.pem -days {days} "
                 f"-extfile ca.cnf -extensions {section}")  # fmt: skip

    def source(self, name: str) -> CertificateFiles:
        chain = self.folder / f"{name}.chain.pem"
        chain.write_bytes(b"".join((self.folder / f"{each}.pem").read_bytes() for each in (name, "issuing")))
        key = self.folder / f"{name}.key"
        key.chmod(0o600)
        return CertificateFiles(chain, key, self.folder / "root.pem", poll_s=3600)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("openssl"))


@pytest.mark.parametrize("key", ["ec:p256", "ed25519"])
def test_certificates_made_by_openssl_shake_hands_with_ours(workshop: Workshop, key: str) -> None:
    """Both ends hold what openssl made; the anchor is the root, the issuing CA is sent along."""
    name = key.replace(":", "-")
    workshop.sign(name, "leaf", by="issuing", key=key)
    source = workshop.source(name)
    identity = source.current()

    outcome = attack_server(lenient(identity, ssl.PROTOCOL_TLS_CLIENT), server=HeldIdentity(identity))

    assert identity.spiffe_id == SpiffeId.parse(RESEARCHER)
    assert (outcome.reason, outcome.up) == ("", True)
    source.close()


@pytest.mark.parametrize(
    ("section", "key", "told"),
    [
        pytest.param("leaf_without_identifier", "ec:p256", "AuthorityKeyIdentifier", id="no-authority-key-identifier"),
        pytest.param("leaf_with_two_names", "ec:p256", "2 URI names", id="two-names"),
        pytest.param("leaf", "rsa:2048", "neither P-256 nor Ed25519", id="rsa"),
        pytest.param("ca", "ec:p256", "is a CA's", id="a-CA"),
    ],
)
def test_bad_certificates_made_by_openssl_are_refused(workshop: Workshop, section: str, key: str, told: str) -> None:
    workshop.sign(f"bad-{section}", section, by="issuing", key=key)

    with pytest.raises(IdentityError, match=told):
        workshop.source(f"bad-{section}")


def _probe(address: tuple[str, int], *arguments: str, folder: Path) -> str:
    """What ``openssl s_client`` says; it sends a line, and reads until the server closes."""
    assert OPENSSL is not None
    done = subprocess.run(
        [OPENSSL, "s_client", "-connect", f"{address[0]}:{address[1]}", "-ign_eof", *arguments],
        input=b"a line from a probe\n", cwd=folder, capture_output=True, check=False, timeout=30,
    )  # fmt: skip
    return (done.stdout + done.stderr).decode(errors="replace")


@pytest.fixture
def member(tmp_path: Path) -> tuple[Forge, Path]:
    forge = Forge.make()
    leaf = forge.issuing.leaf([RESEARCHER])
    (tmp_path / "chain.pem").write_bytes(leaf.chain_pem)
    (tmp_path / "key.pem").write_bytes(leaf.key_pem)
    (tmp_path / "bundle.pem").write_bytes(forge.root.pem)
    return forge, tmp_path


CERTIFICATE = ("-cert", "chain.pem", "-cert_chain", "chain.pem", "-key", "key.pem")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param(("-alpn", ALPN), "no-certificate", id="no-certificate"),
        pytest.param(("-alpn", ALPN, "-tls1_2", *CERTIFICATE), "wrong-tls-version", id="tls-1.2"),
        pytest.param(("-alpn", "h2", *CERTIFICATE), "wrong-protocol", id="wrong-alpn"),
        pytest.param(CERTIFICATE, "wrong-protocol", id="no-alpn"),
        pytest.param(("-alpn", ALPN, *CERTIFICATE), "", id="a-member"),
    ],
)
def test_an_s_client_probe_is_judged_like_any_client(
    member: tuple[Forge, Path], arguments: tuple[str, ...], reason: str
) -> None:
    forge, folder = member
    server = forge.source(WRITER)
    listener = Listener(server_context(server.identity), server)

    told = _probe(listener.address, *arguments, folder=folder)

    outcome = listener.finish()
    assert outcome.reason == reason
    assert outcome.handled == (b"" if reason else b"a line from a probe\n")
    assert ("hello" in told) is (reason == "")


def test_s_client_sees_tls_1_3_no_ticket_and_a_chain_it_can_verify(member: tuple[Forge, Path]) -> None:
    forge, folder = member
    server = forge.source(WRITER)
    listener = Listener(server_context(server.identity), server)

    told = _probe(
        listener.address, "-alpn", ALPN, "-CAfile", "bundle.pem", "-x509_strict", *CERTIFICATE, folder=folder
    )  # fmt: skip

    listener.finish()
    assert "TLSv1.3" in told
    assert "Verify return code: 0 (ok)" in told
    assert f"ALPN protocol: {ALPN}" in told
    assert "New Session Ticket" not in told
    assert "Early data was not sent" in told


def test_the_chain_of_the_embedded_ca_is_verified_by_openssl(tmp_path: Path) -> None:
    """By the root alone, and by the bundle alone as partial chain: what another program needs to check an agent."""
    authority = Authority.create(Home.create(tmp_path / "home"), DOMAIN)
    identity = authority.identity(SpiffeId.parse(RESEARCHER))
    for name, content in (
        ("chain.pem", identity.chain_pem), ("root.pem", authority.root_pem), ("bundle.pem", authority.bundle())
    ):  # fmt: skip
        (tmp_path / name).write_bytes(content)
    authority.close()

    assert OPENSSL is not None
    for anchors in (["-CAfile", "root.pem"], ["-CAfile", "bundle.pem", "-partial_chain"]):
        done = subprocess.run(
            [OPENSSL, "verify", "-x509_strict", *anchors, "-untrusted", "chain.pem", "chain.pem"],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        assert done.stdout == "chain.pem: OK\n", done.stderr
