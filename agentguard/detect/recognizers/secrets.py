# ruff: noqa: S105 - the names say what the patterns find
"""Secret formats: provider tokens by prefix, keys and headers by shape, assignments by key name.

Prefix, alphabet and length come from the providers' public documentation. A row is data; ``examples`` are made from
the row itself, so that no real-looking credential stands in this file.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import string
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from agentguard.detect.recognizers.engine import Recognizer

__all__ = ["FORMATS", "PEM_BODY", "PEM_FOOTER", "PEM_HEADER", "RECOGNIZERS", "Format"]

HEX = "0-9a-f"
HEXI = "0-9A-Fa-f"
ALNUM = "0-9A-Za-z"
WORD = "0-9A-Za-z_-"
UPPER = "0-9A-Z"
LOWER = "0-9a-z"


@dataclass(frozen=True, slots=True)
class Format:
    """``prefixes`` then ``low`` to ``high`` characters of ``alphabet`` (``high`` None: no limit), then ``tail``."""

    provider: str
    name: str
    prefixes: tuple[str, ...]
    alphabet: str
    low: int
    high: int | None = 0
    tail: str = ""

    @property
    def pattern(self) -> str:
        high = self.low if self.high == 0 else ("" if self.high is None else self.high)
        count = f"{{{self.low},{high}}}"
        prefixes = "|".join(re.escape(p).replace("\\-", "-") for p in self.prefixes)
        return rf"\b(?P<v>(?:{prefixes})[{self.alphabet}]{count}{self.tail}){self._end}"

    @property
    def trigger(self) -> str:
        """The prefix and a few characters more: counting to 40 in the shared automaton would multiply its states."""
        prefixes = "|".join(re.escape(p).replace("\\-", "-") for p in self.prefixes)
        return rf"\b(?:{prefixes})[{self.alphabet}]{{4}}"

    @property
    def _end(self) -> str:
        # "\b" tells nothing after a hyphen; a run without upper limit is greedy and needs no boundary.
        return "" if self.high is None or "-" in self.alphabet[-1:] or self.tail else r"\b"

    def examples(self) -> tuple[str, ...]:
        """One value per prefix. Only for formats without a ``tail``."""
        return tuple(p + sample(self.alphabet, self.low) for p in self.prefixes) if not self.tail else ()

    def negatives(self) -> tuple[str, ...]:
        """Too short by one, and too long where the format is exact."""
        short = tuple(p + sample(self.alphabet, self.low - 1) for p in self.prefixes)
        return short if not self.tail else ()


def sample(alphabet: str, count: int) -> str:
    """Characters of a bracket expression in a fixed shuffled order, digits and letters mixed."""
    ranges = {"0-9": string.digits, "A-Z": string.ascii_uppercase, "a-z": string.ascii_lowercase, "A-F": "ABCDEF"}
    ranges |= {"a-f": "abcdef", "2-7": "234567"}
    pool = "".join(chars for key, chars in ranges.items() if key in alphabet) or alphabet
    return "".join(pool[(i * 7 + 3 + i // len(pool)) % len(pool)] for i in range(count))


FORMATS = (
    Format("aws", "access-key-id", ("AKIA", "ASIA", "ABIA", "ACCA"), "A-Z2-7", 16),
    Format("alibaba", "access-key-id", ("LTAI",), ALNUM, 20),
    Format("github", "token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), ALNUM, 36),
    Format("github", "fine-grained-token", ("github_pat_",), "0-9A-Za-z_", 82),
    Format(
        "gitlab",
        "token",
        ("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-", "glimt-", "glagent-", "gloas-"),
        WORD,
        20,
        None,
    ),
    Format("slack", "token", ("xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xapp-"), "0-9A-Za-z-", 20, None),
    Format("slack", "webhook", ("hooks.slack.com/services/", "hooks.slack.com/workflows/"), "0-9A-Za-z/", 40, 80),
    Format("stripe", "key", ("sk_live_", "sk_test_", "rk_live_", "rk_test_"), ALNUM, 16, None),
    Format("stripe", "webhook-secret", ("whsec_",), "0-9A-Za-z+/", 32, None),
    Format("openai", "key", ("sk-proj-", "sk-svcacct-", "sk-admin-"), WORD, 40, None),
    Format("openai", "legacy-key", ("sk-",), ALNUM, 48),
    Format("anthropic", "key", ("sk-ant-api03-", "sk-ant-admin01-", "sk-ant-oat01-", "sk-ant-sid01-"), WORD, 80, None),
    Format("openrouter", "key", ("sk-or-v1-",), HEX, 64),
    Format("google", "api-key", ("AIza",), WORD, 35),
    Format("google", "oauth-secret", ("GOCSPX-",), WORD, 28),
    Format("google", "oauth-token", ("ya29.",), WORD, 20, None),
    Format("huggingface", "token", ("hf_", "api_org_"), "A-Za-z", 34),
    Format("groq", "key", ("gsk_",), ALNUM, 52),
    Format("xai", "key", ("xai-",), ALNUM, 80),
    Format("perplexity", "key", ("pplx-",), ALNUM, 48),
    Format("replicate", "token", ("r8_",), ALNUM, 37),
    Format("nvidia", "key", ("nvapi-",), WORD, 60, None),
    Format("langsmith", "key", ("lsv2_pt_", "lsv2_sk_"), "0-9a-f_", 43),
    Format("npm", "token", ("npm_",), ALNUM, 36),
    Format("pypi", "token", ("pypi-AgEIcHlwaS5vcmc", "pypi-AgENdGVzdC5weXBpLm9yZw"), WORD, 50, None),
    Format("rubygems", "token", ("rubygems_",), HEX, 48),
    Format("crates-io", "token", ("cio",), ALNUM, 32),
    Format("clojars", "token", ("CLOJARS_",), LOWER, 60),
    Format("docker", "token", ("dckr_pat_", "dckr_oat_"), WORD, 27, None),
    Format("digitalocean", "token", ("dop_v1_", "doo_v1_", "dor_v1_"), HEX, 64),
    Format("sendgrid", "key", ("SG.",), WORD, 22, 22, rf"\.[{WORD}]{{43}}"),
    Format("mailgun", "key", ("key-",), HEX, 32),
    Format("brevo", "key", ("xkeysib-",), HEX, 64, 64, rf"-[{ALNUM}]{{16}}"),
    Format("twilio", "key", ("SK",), HEX, 32),
    Format("shopify", "token", ("shpat_", "shpca_", "shppa_", "shpss_"), HEXI, 32),
    Format("square", "token", ("sq0atp-",), WORD, 22),
    Format("square", "oauth-secret", ("sq0csp-",), WORD, 43),
    Format("meta", "access-token", ("EAACEdEose0cBA", "EAAM"), ALNUM, 60, None),
    Format("databricks", "token", ("dapi",), HEX, 32, 32, "(?:-[0-9])?"),
    Format("newrelic", "key", ("NRAK-",), UPPER, 27),
    Format("newrelic", "insert-key", ("NRII-",), WORD, 32),
    Format("newrelic", "browser-key", ("NRJS-",), HEX, 19),
    Format("grafana", "cloud-token", ("glc_",), "0-9A-Za-z+/", 32, None, "={0,2}"),
    Format("grafana", "service-account-token", ("glsa_",), ALNUM, 32, 32, f"_[{HEXI}]{{8}}"),
    Format("hashicorp", "vault-token", ("hvs.", "hvb.", "hvr."), WORD, 24, None),
    Format("pulumi", "token", ("pul-",), HEX, 40),
    Format("doppler", "token", ("dp.pt.", "dp.st.", "dp.ct.", "dp.sa.", "dp.scim.", "dp.audit."), ALNUM, 40, 44),
    Format("linear", "key", ("lin_api_",), ALNUM, 40),
    Format("notion", "token", ("secret_",), ALNUM, 43),
    Format("notion", "integration-token", ("ntn_",), ALNUM, 40, None),
    Format("airtable", "token", ("pat",), ALNUM, 14, 14, rf"\.[{HEX}]{{64}}"),
    Format("atlassian", "token", ("ATATT3", "ATCTT3"), "0-9A-Za-z_=-", 60, None),
    Format("figma", "token", ("figd_",), WORD, 40),
    Format("postman", "key", ("PMAK-",), HEX, 24, 24, f"-[{HEX}]{{34}}"),
    Format("planetscale", "token", ("pscale_tkn_", "pscale_pw_", "pscale_oauth_"), "0-9A-Za-z_.=-", 32, 64),
    Format("prefect", "key", ("pnu_",), LOWER, 36),
    Format("readme", "key", ("rdme_",), LOWER, 70),
    Format("tailscale", "key", ("tskey-auth-", "tskey-api-", "tskey-client-"), "0-9A-Za-z-", 20, None),
    Format("supabase", "token", ("sbp_", "sb_secret_"), HEX, 40),
    Format("sentry", "user-token", ("sntryu_",), HEX, 64),
    Format("sentry", "org-token", ("sntrys_",), "0-9A-Za-z_+/=", 60, None),
    Format("dynatrace", "token", ("dt0c01.", "dt0s16."), UPPER, 24, 24, rf"\.[{UPPER}]{{64}}"),
    Format("easypost", "key", ("EZAK", "EZTK"), ALNUM, 54),
    Format("duffel", "token", ("duffel_test_", "duffel_live_"), "0-9A-Za-z_=-", 43),
    Format("flutterwave", "key", ("FLWSECK-", "FLWSECK_TEST-"), "0-9a-h", 32, 32, "-X"),
    Format("frameio", "token", ("fio-u-",), WORD, 64),
    Format("1password", "service-account-token", ("ops_eyJ",), "0-9A-Za-z+/", 200, None, "={0,2}"),
    Format("age", "secret-key", ("AGE-SECRET-KEY-1",), "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58),
    Format("adobe", "client-secret", ("p8e-",), LOWER, 32),
    Format("cloudflare", "origin-ca-key", ("v1.0-",), HEX, 24, 24, f"-[{HEX}]{{146}}"),
    Format("heroku", "key", ("HRKU-AA",), WORD, 58),
    Format("infracost", "key", ("ico-",), ALNUM, 32),
    Format("scalingo", "token", ("tk-us-",), WORD, 48),
    Format("sourcegraph", "token", ("sgp_", "sgp_local_"), HEX, 40),
    Format("typeform", "token", ("tfp_",), "0-9A-Za-z_.=-", 59),
    Format("artifactory", "api-key", ("AKCp",), ALNUM, 60, None),
    Format("42", "client-secret", ("s-s4t2ud-", "s-s4t2af-"), HEX, 64),
    Format("shippo", "token", ("shippo_live_", "shippo_test_"), HEX, 40),
    Format("contentful", "token", ("CFPAT-",), WORD, 43),
    Format("buildkite", "token", ("bkua_",), LOWER, 40),
)


def shannon(value: str) -> float:
    """Entropy in bits per character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values()) if value else 0.0


# Words people write where a secret would stand.
_PLACEHOLDER = re.compile(
    r"(?i)^(?:x{3,}|[*.•#_\-]+|<.*>|\$\{?.*\}?|\{\{.*\}\}|%.*%|\[.*\]|(?:none|null|nil|true|false|undefined|string|str|"
    r"text|bool|int|bytes|required|optional|redacted|removed|hidden|masked|secret|password|passwd|pwd|token|value|"
    r"default|empty|unknown|n/?a|tbd|todo|foo|bar|baz|test|example|sample|dummy|fake|mock|placeholder|"
    r"changeme|change_me|change-me|your\w*|my\w*|insert\w*|enter\w*|todo\w*)|"
    r".*(?:example|placeholder|your[_-]|_here|changeme|redacted|dummy|insert[_-]|xxxx|\*\*\*\*|\.\.\.).*)$"
)
_CODE = re.compile(
    r"^(?:[A-Za-z_][\w.]*[(\[].*|(?:self|this|os|process|env|config|settings|request|args|options|params)[.\[].*|.*\(\)?)$"
)
_HEADER_NAME = re.compile(r"(?i)(?:authorization|x-api-key|x-auth-token|private-token)[\"']?[ \t]*[:=]")
_WORDS = re.compile(r"^[A-Za-z]+(?:[_.\- ][A-Za-z]+)*$")


def _provider_token(value: str, before: str) -> int:
    """Placeholders of the right length repeat few characters or spell the alphabet's start."""
    body = value[-16:]
    return 0 if len(set(body)) < 5 or "EXAMPLE" in value or "xxxx" in value.lower() else len(value)


def _is_own_key(value: str, before: str) -> bool:
    """Whether the value only repeats the key it is given to, as in ``login(password=password)``."""
    words = before.rstrip(" \t'\"`:=>").rsplit(None, 1)
    return bool(words) and value.lower() in words[-1].lower()


def _password(value: str, before: str) -> int:
    if _PLACEHOLDER.match(value) or _CODE.match(value) or _is_own_key(value, before):
        return 0
    quoted = before.endswith(('"', "'", "`"))
    if quoted or before[-1:] == ">":
        return 0 if " " in value and _WORDS.match(value) else len(value)
    if before[-1:] == "=" and re.search(r"[A-Z]{2,}[\w]*=$", before):
        return len(value) if len(value) >= 4 else 0
    plain = len(value) < 4 or _WORDS.match(value)
    return 0 if plain else len(value)


def _key(value: str, before: str) -> int:
    """A token or key: long, mixed, and not a word, path, URL or expression."""
    if len(value) < 12 or _PLACEHOLDER.match(value) or _CODE.match(value) or _WORDS.match(value):
        return 0
    if "://" in value or value.startswith(("/", "./", "--")) or " " in value:
        return 0
    mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return len(value) if mixed and shannon(value) >= 3.0 else 0


def _bearer(value: str, before: str) -> int:
    if _PLACEHOLDER.match(value):
        return 0
    if _HEADER_NAME.search(before):
        return len(value)
    return len(value) if any(c.isdigit() for c in value) and shannon(value) >= 2.5 else 0


def _basic(value: str, before: str) -> int:
    try:
        decoded = base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return 0
    return len(value) if b":" in decoded or _HEADER_NAME.search(before) else 0


def _url_password(value: str, before: str) -> int:
    return 0 if _PLACEHOLDER.match(value) else len(value)


def _jwt(value: str, before: str) -> int:
    head = value.partition(".")[0]
    try:
        decoded = base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))
    except (binascii.Error, ValueError):
        return 0
    return len(value) if decoded.lstrip().startswith(b"{") else 0


_ASSIGN = r"""(?:[ \t](?:string|str|String))?["'`\])}]{0,2}[ \t]{0,8}(?::=|=>|->|,[ \t]?|={1,3}|:|(?:[ \t]is[ \t]))[ \t]{0,8}(?:[brufBRUF]{0,2})"""
_PASSWORD_KEY = (
    r"(?i:pass(?:word|wd|phrase|code)|\bpwd|_pwd|\bpasswort|mot_de_passe|contrase(?:n|ñ)a)(?:[_-]?[0-9A-Za-z]{0,12})"
)
_SECRET_KEY = (
    r"(?i:secret|api[_.\- ]?key|apikey|access[_.\- ]?key|auth[_.\- ]?key|account[_.\- ]?key|shared[_.\- ]?key|"
    r"private[_.\- ]?key|encryption[_.\- ]?key|signing[_.\- ]?key|master[_.\- ]?key|license[_.\- ]?key|"
    r"token|credentials?|\bauth|_auth)(?:[_-]?[0-9A-Za-z]{0,16})"
)
_QUOTED = r"""(?:"(?P<v>(?:[^"\\\n]|\\[^\n])+)")"""
_SINGLE = r"""(?:['`](?P<v>(?:[^'`\\\n]|\\[^\n])+)['`])"""
_BARE = r"""(?P<v>[^\s"'`,;<>(){}\[\]|&\\]{3,})"""
_SECRET_BARE = r"(?P<v>[A-Za-z0-9_+/=.~!@#$%^*:-]{8,})"


_AFTER_KEY = {
    "double": r"""[^\n]*[:=>s,][^\n]*["]""",
    "single": r"""[^\n]*[:=>s,][^\n]*['`]""",
    "bare": r"""[^\n]*[ \t:=,]""",
    "xml": r"[^<>\n]*>",
    "attribute": r"[^\n]*value",
    "option": r"[ \t]",
}


def _assignments(kind: str, key: str, bare: str, check: Callable[[str, str], int]) -> tuple[Recognizer, ...]:
    forms = {
        "double": key + _ASSIGN + _QUOTED,
        "single": key + _ASSIGN + _SINGLE,
        "bare": key + _ASSIGN + bare,
        "xml": key + r"[^<>\n]{0,40}>[ \t]{0,8}(?P<v>[^<>\s][^<>\n]*)</",
        "attribute": key + r"""["']?[ \t]{1,4}value[ \t]{0,2}=[ \t]{0,2}["'](?P<v>[^"'\n]+)["']""",
        "option": r"--[a-z-]{0,24}" + key + r"[ \t]+(?P<v>[^\s\"'\-][^\s\"']{3,})",
    }
    return tuple(
        Recognizer(
            f"secret.{kind}",
            f"{kind}-{form}",
            pattern,
            trigger=key + _AFTER_KEY[form],
            validator=check,
            score=0.8,
            rank=0,
        )
        for form, pattern in forms.items()
    )


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
        rf"\b(?P<v>eyJ[{WORD}]{{8,}}\.[{WORD}]{{8,}}(?:\.[{WORD}]*){{0,3}})",
        validator=_jwt,
        examples=lambda: (".".join((_encoded('{"alg":"HS256"}'), _encoded('{"sub":"1234567"}'), sample(ALNUM, 43))),),
        rank=2,
    ),
    Recognizer(
        "secret.bearer-token",
        "bearer-header",
        r"""(?i)\bbearer[ \t]{1,4}(?P<v>[0-9A-Za-z._~+/=:-]{8,})""",
        validator=_bearer,
        examples=lambda: ("Authorization: Bearer " + sample(ALNUM, 30) + "+/=",),
        rank=2,
    ),
    Recognizer(
        "secret.basic-auth",
        "basic-header",
        r"""(?i)\bbasic[ \t]{1,4}(?P<v>[0-9A-Za-z+/_-]{8,}={0,2})""",
        validator=_basic,
        examples=lambda: ("Authorization: Basic " + base64.b64encode(b"user:" + b"pa55w0rd").decode(),),
        rank=2,
    ),
    Recognizer(
        "secret.authorization",
        "authorization-header",
        r"""(?i)\b(?:authorization|x-api-key|x-auth-token|private-token)["']?[ \t]{0,4}[:=][ \t]{0,4}["']?(?:(?:token|apikey|digest|aws4-hmac-sha256|key)[ \t]+)?(?P<v>[0-9A-Za-z._~+/=-]{12,})""",
        validator=_bearer,
        examples=lambda: ("Authorization: token " + sample(ALNUM, 40),),
        rank=1,
    ),
    Recognizer(
        "secret.url-password",
        "url-userinfo",
        r"""(?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@"'<>?#]*:(?P<v>[^\s/"'<>?#]+)@[0-9a-z\[]""",
        validator=_url_password,
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
        r"(?:^|[^0-9A-Za-z_~.-])(?P<v>[0-9A-Za-z_~.]{3}[0-9]Q~[0-9A-Za-z_~.-]{31,34})",
        provider="azure",
        validator=_provider_token,
        examples=lambda: (" ab" + "C8Q~" + sample(ALNUM, 34),),
        rank=2,
    ),
    Recognizer(
        "secret.telegram-bot-token",
        "telegram-bot-token",
        rf"\b(?P<v>[0-9]{{8,10}}:AA[{WORD}]{{33}})",
        provider="telegram",
        validator=_provider_token,
        examples=lambda: ("123456789" + ":AA" + sample(ALNUM, 33),),
        rank=2,
    ),
    Recognizer(
        "secret.discord-bot-token",
        "discord-bot-token",
        rf"\b(?P<v>[MNO][{WORD}]{{23,25}}\.[{WORD}]{{6}}\.[{WORD}]{{27,38}})",
        provider="discord",
        validator=_provider_token,
        examples=lambda: ("M" + sample(ALNUM, 23) + "." + sample(ALNUM, 6) + "." + sample(ALNUM, 27),),
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
        "secret.mailchimp-key",
        "mailchimp-key",
        r"\b(?P<v>[0-9a-f]{32}-us[0-9]{1,2})\b",
        provider="mailchimp",
        validator=_provider_token,
        examples=lambda: (sample(HEX, 32) + "-us12",),
        rank=2,
    ),
    Recognizer(
        "secret.terraform-token",
        "terraform-token",
        rf"\b(?P<v>[{ALNUM}]{{14}}\.atlasv1\.[{WORD}]{{60,}})",
        provider="hashicorp",
        validator=_provider_token,
        examples=lambda: (sample(ALNUM, 14) + ".atlas" + "v1." + sample(ALNUM, 64),),
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
            validator=_provider_token,
            examples=f.examples,
            negatives=f.negatives,
            rank=2,
        )
        for f in FORMATS
    ),
    *_SHAPES,
    *_assignments("password", _PASSWORD_KEY, _BARE, _password),
    *_assignments("key", _SECRET_KEY, _SECRET_BARE, _key),
)
