"""Every recognizer of secrets: provider formats, shapes, keyed values, password-like assignments."""

from __future__ import annotations

import base64

from agentguard.detect.recognizers import judgement
from agentguard.detect.recognizers.assignments import ASSIGNMENTS, KEYED
from agentguard.detect.recognizers.engine import Recognizer
from agentguard.detect.recognizers.formats import ALPHABETS, FORMATS, sample

__all__ = ["PEM_BODY", "PEM_FOOTER", "PEM_HEADER", "RECOGNIZERS"]

ALNUM = ALPHABETS["a"]
WORD = ALPHABETS["w"]


def _pem() -> tuple[str, ...]:
    mark = "-" * 5
    body = "\n".join(sample(ALNUM, 64) for _ in range(3))
    return (f"{mark}BEGIN RSA PRIVATE KEY{mark}\n{body}\n{mark}END RSA PRIVATE KEY{mark}",)


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


# No two hyphens in a row in a body: an unclosed header then costs the text up to the next mark, not to the end.
PEM_HEADER = r"-----BEGIN [0-9A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
PEM_BODY = r"(?:-?[0-9A-Za-z+/=:,.\\ \t\r\n\"'])*"
PEM_FOOTER = r"-----END [0-9A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"

_SHAPES = (
    Recognizer(
        "secret.private-key",
        "private-key-block",
        f"{PEM_HEADER}{PEM_BODY}(?:{PEM_FOOTER})?",
        examples=_pem,
        rank=3,
    ),
    Recognizer(
        "secret.jwt",
        "jwt",
        rf"\b(?P<v>eyJ[{WORD}]{{8,}}\.[{WORD}]{{8,}}(?:\.[{WORD}]*){{0,3}}={{0,2}})",
        validator=judgement.jwt,
        examples=lambda: (".".join((_encoded('{"alg":"HS256"}'), _encoded('{"sub":"1234567"}'), sample(ALNUM, 43))),),
        rank=2,
    ),
    Recognizer(
        "secret.bearer-token",
        "bearer-header",
        r"""(?i)\bbearer[ \t]{1,4}(?P<v>[0-9A-Za-z._~+/=:-]{8,})""",
        validator=judgement.bearer,
        examples=lambda: ("Authorization: Bearer " + sample(ALNUM, 30) + "+/=",),
        rank=2,
    ),
    Recognizer(
        "secret.basic-auth",
        "basic-header",
        r"""(?i)\bbasic[ \t]{1,4}(?P<v>[0-9A-Za-z+/_-]{8,}={0,2})""",
        validator=judgement.basic,
        examples=lambda: ("Authorization: Basic " + base64.b64encode(b"user:" + b"pa55w0rd").decode(),),
        rank=2,
    ),
    Recognizer(
        "secret.authorization",
        "authorization-header",
        r"""(?i)\b(?:authorization|x-api-key|x-auth-token|private-token)["']?[ \t]{0,4}[:=][ \t]{0,4}["']?(?:(?:token|apikey|digest|aws4-hmac-sha256|key)[ \t]+)?(?P<v>[0-9A-Za-z._~+/=-]{12,})""",
        validator=judgement.bearer,
        examples=lambda: ("Authorization: token " + sample(ALNUM, 40),),
        rank=1,
    ),
    Recognizer(
        "secret.url-password",
        "url-userinfo",
        r"""(?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@"'<>?#]*:(?P<v>[^\s/"'<>?#]+)@[0-9a-z\[]""",
        validator=judgement.url_password,
        examples=lambda: ("postgres://app:" + sample(ALNUM, 12) + "@db.internal:5432/app",),
        rank=2,
    ),
    Recognizer(
        "secret.azure-storage-key",
        "azure-account-key",
        r"(?i)(?:AccountKey|SharedAccessKey)[ \t]{0,4}=[ \t]{0,4}(?P<v>[0-9A-Za-z+/]{40,88}={0,2})",
        provider="azure",
        examples=lambda: ("AccountKey=" + sample("0-9A-Za-z", 86) + "==",),
        rank=2,
    ),
    Recognizer(
        "secret.azure-client-secret",
        "azure-client-secret",
        r"(?:^|[^0-9A-Za-z_~.-])(?P<v>[0-9A-Za-z_~.]{3}[0-9]Q~[0-9A-Za-z_~.-]{31,34})(?:[^0-9A-Za-z_~.-]|$)",
        provider="azure",
        validator=judgement.provider_token,
        examples=lambda: (" ab" + "C8Q~" + sample(ALNUM, 34),),
        rank=2,
    ),
    Recognizer(
        "secret.discord-webhook",
        "discord-webhook",
        rf"discord(?:app)?\.com/api/webhooks/(?P<v>[0-9]{{17,20}}/[{WORD}]{{60,80}})",
        provider="discord",
        examples=lambda: ("https://discord" + ".com/api/webhooks/" + "1" * 18 + "/" + sample(ALNUM, 68),),
        rank=2,
    ),
    Recognizer(
        "secret.command-user",
        "curl-user",
        r"""(?:\bcurl\b[^\n]*[ \t]|(?m:^)[ \t]+)(?:-u|--user|--proxy-user)(?:[ \t]+|=)(?:"(?P<v>[^"\n]*:[^"\n]*)"|'(?P<w>[^'\n]*:[^'\n]*)'|(?P<x>[^\s"':<]*:(?:[^\s"'<]+|'[^'\n]+')))""",
        trigger=r"""(?:-u|--user|--proxy-user)[ \t=][^\n]*:""",
        validator=judgement.user,
        examples=lambda: ("curl -u app:" + sample(ALNUM, 12) + " https://internal",),
        negatives=lambda: ("curl -u $USER:$PASS https://internal", "docker run -u 1000:1000 image"),
        rank=2,
    ),
    Recognizer(
        "secret.softlayer-key",
        "softlayer-url",
        r"api\.softlayer\.com/soap/v[0-9.]{1,4}/(?P<v>[0-9a-z]{64})",
        provider="softlayer",
        examples=lambda: ("https://api.softlayer.com/soap/v3/" + sample(ALPHABETS["l"], 64),),
        rank=2,
    ),
    Recognizer(
        "secret.jwt",
        "jwt-base64",
        r"\b(?P<v>ZXlK[0-9A-Za-z+/_-]{40,}={0,2})",
        validator=judgement.provider_token,
        examples=lambda: (
            base64.b64encode(".".join(map(_encoded, ('{"alg":"HS256"}', '{"sub":"1234567"}'))).encode()).decode(),
        ),
        rank=2,
    ),
)

RECOGNIZERS: tuple[Recognizer, ...] = (
    *(
        Recognizer(
            f"secret.{f.provider}-{f.name}",
            f"{f.provider}-{f.name}",
            f.pattern,
            trigger=f.trigger,
            provider=f.provider,
            validator=judgement.random_token if f.weak else judgement.provider_token,
            examples=f.examples,
            negatives=f.negatives,
            rank=2,
        )
        for f in FORMATS
    ),
    *_SHAPES,
    *KEYED,
    *ASSIGNMENTS,
)
