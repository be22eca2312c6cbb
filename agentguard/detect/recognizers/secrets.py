"""Secrets: provider formats as their public documentation gives them, then keys, headers, URLs and assignments.

A pattern covers the whole value and nothing but the value. ``example`` is a template: ``<X20>`` is twenty characters
of a class (A letters and digits, U upper case and digits, L lower case and digits, h hexadecimal, d digits,
w letters digits - and _, b base64).
"""

from __future__ import annotations

import math
from collections import Counter

import re2

from agentguard.detect.recognizers.engine import Recognizer

__all__ = ["SECRETS", "is_placeholder"]

# Names that announce a secret, and the ones that only do so when the value looks random.
_STRONG = "passw(?:or)?d|passphrase|passwort|contrase(?:n|ñ)a|mot_de_passe|pwd"
_WEAK = (
    "secret|api[_-]?key|apikey|access[_-]?key|private[_-]?key|encryption[_-]?key|signing[_-]?key|auth[_-]?token"
    "|access[_-]?token|refresh[_-]?token|bearer[_-]?token|token|credentials?|client[_-]?secret|account[_-]?key"
)
_NAME = r"(?i)(?:^|[^A-Za-z0-9])(?:[A-Za-z0-9]{1,30}[_.-]){0,4}"
_SIGN = r"[\"']?[ \t]{0,8}(?:=>|:=|==?|:)[ \t]{0,8}"

_PLACEHOLDER = re2.compile(
    r"(?i)^(?:x+|\*+|\.+|-+|_+|0+|n/?a|none|null|nil|true|false|undefined|empty|todo|redacted|hidden|required|optional"
    r"|string|text|value|secret|password|passwd|token|changeme|change[_-]me|.*(?:example|placeholder|dummy|your[_-]|"
    r"my[_-]?(?:pass|secret|token|key)|insert|replace|\bhere\b|<|>|\$\{|\{\{|%\(|\bfoo|\bbar|xxxx|\*\*\*|1234567890abc).*"
    r"|\$[A-Za-z_].*|%[A-Za-z_]+%?|\[redacted.*)$"
)
# An expression that fetches the secret is not the secret.
_REFERENCE = re2.compile(
    r"^[A-Za-z_][A-Za-z0-9_]*(?:(?:\.|::|->)[A-Za-z_][A-Za-z0-9_]*)+$|^[a-z]+(?:_[a-z]+)*$|^[A-Z]+(?:_[A-Z]+)+$"
)


def is_placeholder(value: str) -> bool:
    """Whether a value stands where a secret would, without being one."""
    return _PLACEHOLDER.match(value) is not None or len(set(value)) < 4


def _entropy(value: str) -> float:
    """Bits per character of the value's own letter counts."""
    counts = Counter(value)
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())


def _random(value: str) -> bool:
    return not is_placeholder(value) and _entropy(value) >= 3.0


def _weakly_named(value: str) -> bool:
    """What an ``api_key = …`` holds: long enough, mixed, and no reference or word."""
    if len(value) < 12 or _REFERENCE.match(value) or is_placeholder(value):
        return False
    return any(c.isdigit() for c in value) and any(c.isalpha() for c in value) and _entropy(value) >= 3.0


def _strongly_named(value: str) -> bool:
    """What a ``password: …`` holds without quotes: something with a digit or sign in it, not a word of prose."""
    if _REFERENCE.match(value) or is_placeholder(value):
        return False
    return any(not c.isalpha() for c in value) and not value.isdigit() | value.endswith((".", ":"))


def _quoted(value: str) -> bool:
    return not is_placeholder(value) and not _REFERENCE.match(value) and " " not in value.strip()


def _jwt(value: str) -> bool:
    return value.count(".") == 2


def _provider(name: str, pattern: str, example: str, *, check: bool = True) -> Recognizer:
    return Recognizer(f"secret.{name}", pattern, _random if check else None, 0.98, example)


_PROVIDERS: tuple[tuple[str, str, str], ...] = (
    ("aws-access-key", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b", "AKIA<U16>"),
    ("aws-bedrock-key", r"\bABSK[A-Za-z0-9+/]{109,}={0,2}", "ABSK<b120>"),
    ("github-token", r"\bgh[pousr]_[A-Za-z0-9]{36,}\b", "ghp_<A36>"),
    ("github-fine-grained-token", r"\bgithub_pat_[A-Za-z0-9_]{82}\b", "github_pat_<A82>"),
    ("gitlab-token", r"\bgl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat|oas|ffct)-[A-Za-z0-9_.-]{20,}", "glpat-<w20>"),
    ("gitlab-runner-token", r"\bGR1348941[A-Za-z0-9_-]{20}\b", "GR1348941<A20>"),
    ("bitbucket-token", r"\bATBB[A-Za-z0-9]{24,64}\b", "ATBB<A32>"),
    ("atlassian-token", r"\bAT[AC]TT3[A-Za-z0-9_=-]{60,}", "ATATT3<w180>"),
    ("slack-token", r"\bxox[abeoprs]-(?:[0-9]{1,14}-){0,3}[A-Za-z0-9-]{10,}\b", "xoxb-<d11>-<d11>-<A24>"),
    ("slack-app-token", r"\bxapp-\d-[A-Z0-9]{5,20}-\d{5,20}-[a-f0-9]{32,128}\b", "xapp-1-<U11>-<d13>-<h64>"),
    (
        "slack-webhook",
        r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9+/]{30,90}",
        "https://hooks.slack.com/services/T<U8>/B<U8>/<A24>",
    ),
    ("stripe-key", r"\b[sr]k_(?:live|test|prod)_[A-Za-z0-9]{10,}\b", "sk_live_<A24>"),
    ("stripe-webhook-secret", r"\bwhsec_[A-Za-z0-9+/=]{24,120}", "whsec_<A32>"),
    ("google-api-key", r"\bAIza[A-Za-z0-9_-]{35}", "AIza<A35>"),
    ("google-oauth-secret", r"\bGOCSPX-[A-Za-z0-9_-]{28}", "GOCSPX-<A28>"),
    ("google-oauth-token", r"\bya29\.[A-Za-z0-9_-]{20,}", "ya29.<w60>"),
    (
        "openai-key",
        r"\bsk-(?:proj-|svcacct-|admin-|None-)?[A-Za-z0-9_-]{20,80}T3BlbkFJ[A-Za-z0-9_-]{20,80}",
        "sk-proj-<A24>T3BlbkFJ<A24>",
    ),
    ("openai-style-key", r"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_]{32,170}\b", "sk-<A48>"),
    ("anthropic-key", r"\bsk-ant-[a-z]{3,10}\d{2}-[A-Za-z0-9_-]{60,120}", "sk-ant-api03-<w93>AA"),
    ("openrouter-key", r"\bsk-or-v1-[0-9a-f]{64}\b", "sk-or-v1-<h64>"),
    ("hugging-face-token", r"\b(?:hf|api_org)_[A-Za-z]{34}\b", "hf_<a34>"),
    ("groq-key", r"\bgsk_[A-Za-z0-9]{52}\b", "gsk_<A52>"),
    ("replicate-token", r"\br8_[A-Za-z0-9]{37}\b", "r8_<A37>"),
    ("perplexity-key", r"\bpplx-[A-Za-z0-9]{48}\b", "pplx-<A48>"),
    ("xai-key", r"\bxai-[A-Za-z0-9]{70,90}\b", "xai-<A80>"),
    ("langsmith-key", r"\blsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}\b", "lsv2_pt_<h32>_<h10>"),
    ("tavily-key", r"\btvly-(?:dev-|prod-)?[A-Za-z0-9]{20,50}\b", "tvly-<A32>"),
    ("npm-token", r"\bnpm_[A-Za-z0-9]{36}\b", "npm_<A36>"),
    ("pypi-token", r"\bpypi-AgE[A-Za-z0-9_-]{50,}", "pypi-AgEIcHlwaS5vcmc<w100>"),
    ("rubygems-key", r"\brubygems_[0-9a-f]{48}\b", "rubygems_<h48>"),
    ("docker-token", r"\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{24,64}", "dckr_pat_<A27>"),
    ("nuget-key", r"\boy2[a-z0-9]{43}\b", "oy2<L43>"),
    ("crates-token", r"\bcio[A-Za-z0-9]{32}\b", "cio<A32>"),
    ("sendgrid-key", r"\bSG\.[A-Za-z0-9_-]{20,24}\.[A-Za-z0-9_-]{39,50}", "SG.<A22>.<A43>"),
    ("mailgun-key", r"\b(?:key|pubkey)-[0-9a-f]{32}\b", "key-<h32>"),
    ("mailchimp-key", r"\b[0-9a-f]{32}-us\d{1,2}\b", "<h32>-us12"),
    ("twilio-key", r"\bSK[0-9a-f]{32}\b", "SK<h32>"),
    ("brevo-key", r"\bxkeysib-[0-9a-f]{64}-[A-Za-z0-9]{16}\b", "xkeysib-<h64>-<A16>"),
    ("shopify-token", r"\bshp(?:at|ca|pa|ss|tka)_[0-9a-fA-F]{32}\b", "shpat_<h32>"),
    ("square-token", r"\bsq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22,43}", "sq0atp-<A22>"),
    ("razorpay-key", r"\brzp_(?:live|test)_[A-Za-z0-9]{14}\b", "rzp_live_<A14>"),
    (
        "plaid-token",
        r"\baccess-(?:sandbox|development|production)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b",
        "access-production-<h8>-<h4>-<h4>-<h4>-<h12>",
    ),
    ("flutterwave-key", r"\bFLWSECK(?:_TEST)?-[0-9a-zA-Z]{12,40}-X\b", "FLWSECK-<h32>-X"),
    (
        "paypal-braintree-token",
        r"\baccess_token\$(?:production|sandbox)\$[0-9a-z]{16}\$[0-9a-f]{32}\b",
        "access_token$production$<L16>$<h32>",
    ),
    ("digitalocean-token", r"\bdo[por]_v1_[0-9a-f]{64}\b", "dop_v1_<h64>"),
    ("heroku-key", r"\bHRKU-[A-Za-z0-9_-]{36,64}", "HRKU-AA<A58>"),
    ("fly-token", r"\bfo1_[A-Za-z0-9_-]{43}", "fo1_<A43>"),
    ("netlify-token", r"\bnfp_[A-Za-z0-9]{36,44}\b", "nfp_<A36>"),
    ("supabase-token", r"\bsbp_[0-9a-f]{40}\b", "sbp_<h40>"),
    ("planetscale-token", r"\bpscale_(?:tkn|pw|oauth)_[A-Za-z0-9_=.-]{32,64}", "pscale_tkn_<A43>"),
    ("databricks-token", r"\bdapi[0-9a-f]{32}(?:-\d)?\b", "dapi<h32>"),
    ("vault-token", r"\bhv[sbr]\.[A-Za-z0-9_-]{24,}", "hvs.<A90>"),
    ("terraform-token", r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70}", "<A14>.atlasv1.<A67>"),
    ("doppler-token", r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,44}\b", "dp.pt.<A43>"),
    ("pulumi-token", r"\bpul-[0-9a-f]{40}\b", "pul-<h40>"),
    ("onepassword-token", r"\bops_eyJ[A-Za-z0-9+/]{250,}={0,3}", "ops_eyJ<A260>"),
    (
        "onepassword-secret-key",
        r"\bA3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}\b",
        "A3-<U6>-<U11>-<U5>-<U5>-<U5>",
    ),
    ("linear-key", r"\blin_(?:api|oauth)_[A-Za-z0-9]{40,64}\b", "lin_api_<A40>"),
    ("notion-token", r"\bntn_[A-Za-z0-9]{40,50}\b", "ntn_<A46>"),
    ("airtable-token", r"\bpat[A-Za-z0-9]{14}\.[0-9a-f]{64}\b", "pat<A14>.<h64>"),
    ("figma-token", r"\bfig[dour]_[A-Za-z0-9_-]{40,64}", "figd_<A40>"),
    ("postman-key", r"\bPMAK-[0-9a-f]{24}-[0-9a-f]{34}\b", "PMAK-<h24>-<h34>"),
    ("newrelic-key", r"\bNR(?:AK|RA|II|IQ)-[A-Za-z0-9_-]{27,42}", "NRAK-<U27>"),
    ("grafana-token", r"\bglsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}\b", "glsa_<A32>_<h8>"),
    ("grafana-cloud-token", r"\bglc_[A-Za-z0-9+/]{32,}={0,3}", "glc_<A64>"),
    ("sentry-token", r"\bsntry[su]_[A-Za-z0-9+/=_]{60,}", "sntryu_<h64>"),
    ("dynatrace-token", r"\bdt0[a-z]\d{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}\b", "dt0c01.<U24>.<U64>"),
    ("sonarqube-token", r"\bsq[apu]_[0-9a-f]{40}\b", "squ_<h40>"),
    ("buildkite-token", r"\bbk(?:ua|at|ct)_[0-9a-f]{40}\b", "bkua_<h40>"),
    ("circleci-token", r"\bCCIP(?:AT|RJ)_[A-Za-z0-9]{22}_[0-9a-f]{40}\b", "CCIPAT_<A22>_<h40>"),
    ("telegram-bot-token", r"\b\d{8,10}:AA[A-Za-z0-9_-]{33}\b", "<d10>:AA<A33>"),
    ("discord-bot-token", r"\b[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}", "M<A23>.<A6>.<A27>"),
    (
        "discord-webhook",
        r"https://(?:ptb\.|canary\.)?discord(?:app)?\.com/api/webhooks/\d{17,20}/[A-Za-z0-9_-]{60,80}",
        "https://discord.com/api/webhooks/<d18>/<A68>",
    ),
    (
        "teams-webhook",
        r"https://[a-z0-9-]{1,60}\.webhook\.office\.com/webhookb2/[A-Za-z0-9@/-]{80,}",
        "https://acme.webhook.office.com/webhookb2/<h8>-<h4>-<h4>-<h4>-<h12>@<h32>/IncomingWebhook/<h32>",
    ),
    ("facebook-token", r"\bEAA[CM][A-Za-z0-9]{40,}\b", "EAAC<A100>"),
    ("azure-client-secret", r"\b[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}", "abc8Q~<A34>"),
    ("azure-storage-key", r"(?i)accountkey=(?P<value>[A-Za-z0-9+/]{86}==)", "AccountKey=<b86>=="),
    ("azure-sas", r"[?&]sig=(?P<value>[A-Za-z0-9%+/]{40,80}(?:%3D|=){0,2})", "?sv=2024&sig=<A43>%3D"),
    ("alibaba-key", r"\bLTAI[A-Za-z0-9]{12,20}\b", "LTAI<A20>"),
    ("tencent-key", r"\bAKID[A-Za-z0-9]{32}\b", "AKID<A32>"),
    ("yandex-key", r"\bAQVN[A-Za-z0-9_-]{35,38}", "AQVN<A36>"),
    ("age-key", r"\bAGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}\b", "AGE-SECRET-KEY-1<q58>"),
    ("cloudinary-url", r"\bcloudinary://\d{10,20}:(?P<value>[A-Za-z0-9_-]{20,40})@", "cloudinary://<d15>:<A27>@demo"),
    ("easypost-key", r"\bEZ[AT]K[A-Za-z0-9]{54}\b", "EZAK<A54>"),
    ("duffel-token", r"\bduffel_(?:test|live)_[A-Za-z0-9_=-]{43}", "duffel_live_<A43>"),
    ("prefect-key", r"\bpnu_[A-Za-z0-9]{36}\b", "pnu_<A36>"),
    ("rubrik-readme-key", r"\brdme_[a-z0-9]{70}\b", "rdme_<L70>"),
    ("shippo-token", r"\bshippo_(?:live|test)_[0-9a-f]{40}\b", "shippo_live_<h40>"),
    ("typeform-token", r"\btfp_[A-Za-z0-9_.=-]{59}", "tfp_<A59>"),
    ("contentful-token", r"\bCFPAT-[A-Za-z0-9_-]{43}", "CFPAT-<A43>"),
    ("scalingo-token", r"\btk-us-[A-Za-z0-9_-]{48}", "tk-us-<A48>"),
    ("adafruit-key", r"\baio_[A-Za-z0-9]{28}\b", "aio_<A28>"),
    ("frameio-token", r"\bfio-u-[A-Za-z0-9_=-]{64}", "fio-u-<A64>"),
    ("clojars-token", r"\bCLOJARS_[A-Za-z0-9]{60}\b", "CLOJARS_<A60>"),
    ("artifactory-key", r"\bAKCp[A-Za-z0-9]{69}\b", "AKCp<A69>"),
    ("jwt", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}", "eyJ<A20>.eyJ<A40>.<A43>"),
)

SECRETS: tuple[Recognizer, ...] = (
    *(_provider(name, pattern, example) for name, pattern, example in _PROVIDERS),
    Recognizer(
        "secret.private-key",
        r"-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----[^-]*(?:-----END [A-Z0-9 ]{0,60}-----)?",
        score=1.0,
        multiline=True,
    ),
    Recognizer(
        "secret.putty-key",
        r"PuTTY-User-Key-File-\d: [a-z0-9-]{3,30}",
        score=0.9,
        example="PuTTY-User-Key-File-3: ssh-ed25519",
    ),
    Recognizer(
        "secret.authorization-header",
        r"(?i)authorization[\"']?[ \t]{0,8}[:=][ \t]{0,8}[\"']?(?:bearer|basic|token|digest)[ \t]{1,8}"
        r"(?P<value>[A-Za-z0-9+/._~=-]{8,})",
        lambda value: not is_placeholder(value),
        0.95,
        "Authorization: Bearer <A30>",
    ),
    Recognizer(
        "secret.bearer-token",
        r"(?i)\bbearer[ \t]{1,8}(?P<value>[A-Za-z0-9+/._~=-]{20,})",
        _weakly_named,
        0.9,
        "bearer <A40>",
    ),
    Recognizer(
        "secret.url-password",
        r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,30}://[^\s:/@\"'<>]{0,120}:(?P<value>[^\s@/\"'<>]{3,200})@",
        lambda value: not is_placeholder(value),
        0.95,
        "postgresql://app:<A16>@db.example.com/app",
    ),
    Recognizer(
        "secret.connection-string",
        r"(?i)(?:^|;|[\"' \t])(?:password|pwd|accountkey|sharedaccesskey)=(?P<value>[^;\"'\s]{4,200})",
        lambda value: not is_placeholder(value),
        0.9,
        "Server=db;Uid=app;Pwd=<A16>;",
    ),
    Recognizer(
        "secret.quoted-password",
        _NAME + f"(?:{_STRONG})" + _SIGN + r"(?:\"(?P<value>[^\"\n\r]{4,200})\")",
        _quoted,
        0.9,
        '"db_password": "<A14>"',
    ),
    Recognizer(
        "secret.single-quoted-password",
        _NAME + f"(?:{_STRONG})" + _SIGN + r"(?:'(?P<value>[^'\n\r]{4,200})')",
        _quoted,
        0.9,
        "password = '<A14>'",
    ),
    Recognizer(
        "secret.password",
        _NAME + f"(?:{_STRONG})" + _SIGN + r"(?P<value>[^\s\"'`,;<>(){}\[\]]{5,200})",
        _strongly_named,
        0.8,
        "PASSWORD=<A9>!<d3>",
    ),
    Recognizer(
        "secret.assignment",
        _NAME + f"(?:{_WEAK})" + _SIGN + r"[\"'`]?(?P<value>[^\s\"'`,;<>(){}\[\]]{12,})",
        _weakly_named,
        0.8,
        "api_key: <A32>",
    ),
    Recognizer(
        "secret.header",
        r"(?i)\bx-(?:api-key|auth-token|access-token|amz-security-token)[\"']?[ \t]{0,8}:[ \t]{0,8}[\"']?"
        r"(?P<value>[A-Za-z0-9+/._~=-]{8,})",
        lambda value: not is_placeholder(value),
        0.9,
        "X-Api-Key: <A24>",
    ),
    Recognizer(
        "secret.xml-element",
        r"(?i)<(?:[a-z]{1,20}:)?(?:password|passwd|pwd|secret|apikey|api-key|token)>(?P<value>[^<\s]{4,200})</",
        lambda value: not is_placeholder(value),
        0.9,
        "<password><A12></password>",
    ),
    Recognizer(
        "secret.command-line",
        r"(?i)[ \t]--?(?:password|passwd|token|api-key|secret)(?:=|[ \t]{1,4})[\"']?(?P<value>[^\s\"'$`<>]{5,200})",
        lambda value: not is_placeholder(value) and not value.startswith("-"),
        0.85,
        "mysql --password=<A12>",
    ),
)
