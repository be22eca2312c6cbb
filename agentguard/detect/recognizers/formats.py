"""Credential formats that a prefix or a mark inside gives away, one a line: provider, name, template.

Prefix, alphabet and length come from the providers' public documentation. In a template ``{20w}`` stands for 20
characters of the alphabet ``w``, ``{20-40w}`` for 20 to 40, ``{20+w}`` for at least 20; ``(a|b)`` for one of the
texts; ``{=}`` for base64 padding; the rest stands for itself. Pattern, positive examples and look-alikes are made from the
template, so that no real-looking credential stands in this file.
"""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

__all__ = ["ALPHABETS", "FORMATS", "Format", "Part", "parts_of", "sample"]

ALPHABETS = {
    "a": "0-9A-Za-z",
    "w": "0-9A-Za-z_-",
    "v": "0-9A-Za-z_",
    "e": "0-9A-Za-z_=-",
    "n": "0-9A-Za-z-",
    "p": "0-9A-Za-z_.=-",
    "b": "0-9A-Za-z+/",
    "x": "0-9A-Za-z_+/=-",
    "l": "0-9a-z",
    "u": "0-9A-Z",
    "t": "2-7A-Z",
    "h": "0-9a-f",
    "H": "0-9A-Fa-f",
    "d": "0-9",
    "s": "A-Za-z",
    "k": "0-9A-Za-z%",
    "q": "023456789ACDEFGHJKLMNPQRSTUVWXYZ",
}
_RANGES = {"0-9": string.digits, "2-7": "234567", "A-Z": string.ascii_uppercase, "a-z": string.ascii_lowercase}
_RANGES |= {"A-F": "ABCDEF", "a-f": "abcdef"}
_TOKEN = re.compile(
    r"\{(?P<low>[0-9]+)(?P<more>\+|-(?P<high>[0-9]+))?(?P<kind>[a-zA-Z])\}|\{=\}|\((?P<one>[^)]*)\)|[^{(]+"
)
# Enough of the body to tell a token from its prefix in prose; counting further would multiply the set's states.
TRIGGER_BODY = 4
TRIGGER_EXACT = 8
WEAK_TEXT = 3


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a template: one of ``texts``, or ``low`` to ``high`` (None: any number) of an alphabet."""

    texts: tuple[str, ...] = ()
    alphabet: str = ""
    low: int = 0
    high: int | None = 0

    @property
    def pattern(self) -> str:
        if self.texts:
            plain = [re.escape(text).replace("\\-", "-") for text in self.texts]
            return plain[0] if len(plain) == 1 else f"(?:{'|'.join(plain)})"
        if self.alphabet == "=":
            return "={0,2}"
        count = f"{self.low}" if self.high == self.low else f"{self.low},{'' if self.high is None else self.high}"
        return f"[{self.alphabet}]{{{count}}}"

    def samples(self, shorter: int = 0, place: int = 0) -> tuple[str, ...]:
        if self.texts:
            return self.texts
        return (sample(self.alphabet, self.low - shorter, place),) if self.alphabet != "=" else ("",)


def parts_of(template: str) -> Iterator[Part]:
    """Read a template."""
    for token in _TOKEN.finditer(template):
        if token["kind"]:
            low = int(token["low"])
            high = int(token["high"]) if token["high"] else (None if token["more"] else low)
            yield Part((), ALPHABETS[token["kind"]], low, high)
        elif token[0] == "{=}":
            yield Part((), "=", 0, 2)
        else:
            yield Part(tuple(token["one"].split("|")) if token["one"] else (token[0],))


def sample(alphabet: str, count: int, place: int = 0) -> str:
    """Characters of a bracket expression in a fixed shuffled order, another one for each ``place``."""
    pool = "".join(chars for key, chars in _RANGES.items() if key in alphabet) or alphabet
    return "".join(pool[(i * 7 + 3 + place * 11 + i // len(pool)) % len(pool)] for i in range(count))


@dataclass(frozen=True)
class Format:
    """One credential format as data."""

    provider: str
    name: str
    template: str

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        return tuple(parts_of(self.template))

    @property
    def pattern(self) -> str:
        """The whole token, its value in the group ``v``; nothing of its alphabet may follow."""
        return rf"\b(?P<v>{''.join(part.pattern for part in self.parts)}){self.end}"

    @property
    def weak(self) -> bool:
        """Whether the fixed texts alone say little: the body then has to look random."""
        return max(len(part.texts[0]) for part in self.parts if part.texts) <= WEAK_TEXT

    @property
    def end(self) -> str:
        last = self.parts[-1]
        if last.high is None:
            return ""
        own = last.alphabet if last.low else ""
        return f"(?:[^0-9A-Za-z_{own.rstrip('-')}{'-' if own.endswith('-') else ''}]|$)"

    @property
    def trigger(self) -> str:
        """The first text (the longest, behind a body), the exact parts behind it, and a few characters more."""
        first = 0 if self.parts[0].texts else self._longest_text
        pattern = "" if first else r"\b"
        for part in self.parts[first:]:
            if part.texts or part.high == part.low <= TRIGGER_EXACT:
                pattern += part.pattern
            else:
                return pattern + (f"[{part.alphabet}]{{{min(part.low, TRIGGER_BODY)}}}" if part.low else "")
        return pattern

    @property
    def _longest_text(self) -> int:
        return max(range(len(self.parts)), key=lambda i: len(self.parts[i].texts[0]) if self.parts[i].texts else 0)

    def examples(self) -> tuple[str, ...]:
        """One value per choice of texts."""
        return tuple(
            "".join(pieces)
            for pieces in itertools.product(*(part.samples(place=i) for i, part in enumerate(self.parts)))
        )

    def negatives(self) -> tuple[str, ...]:
        """Too short by one; one of the right length that repeats a single letter."""
        counted = [i for i, part in enumerate(self.parts) if part.low and not part.texts]
        if not counted:
            return ()
        short = ["".join(part.samples(i == counted[-1], i)[0] for i, part in enumerate(self.parts))]
        flat = ["".join(part.texts[0] if part.texts else "x" * part.low for part in self.parts)]
        return (*short, *flat)


_TABLE = """
1password secret-key A3-{6u}-{6u}-{5u}-{5u}-{5u}-{5u}
1password secret-key-compact A3-{6u}-{11u}-{5u}-{5u}-{5u}
1password service-account-token ops_eyJ{200+b}{=}
42 client-secret (s-s4t2ud-|s-s4t2af-){64h}
adafruit key aio_{28a}
adobe client-secret p8e-{32l}
age secret-key AGE-SECRET-KEY-1{58q}
airtable token pat{14a}.{64h}
alibaba access-key-id LTAI{17-26a}
anthropic key sk-ant-(api03|admin01)-{93w}AA
anthropic session-key sk-ant-(oat01|sid01|sid02)-{80+w}
anyscale key esecret_{26l}
apify token apify_api_{36-40a}
artifactory api-key AKCp{69a}
artifactory reference-token cmVmdGtu{56a}
asana token (1|2)/{12-20d}:{32h}
atlassian token (ATATT3|ATCTT3){60+e}
aws access-key-id (AKIA|ASIA|ABIA|ACCA){16t}
aws bedrock-key ABSK{109-269b}{=}
aws mws-key amzn.mws.{8h}-{4h}-{4h}-{4h}-{12h}
axiom token (xaat|xapt)-{8h}-{4h}-{4h}-{4h}-{12h}
azure devops-token {76a}AZDO{4a}
azure registry-key {42b}+ACR{6b}
azure search-key {42a}AzSe{6a}
azure storage-key {76b}+ASt{6b}==
azure function-key {44w}AzFu{6w}==
beamer token b_{44e}
bitbucket app-password ATBB{32a}
bitbucket http-token BBDC-{40-50b}
brevo key (xkeysib|xsmtpsib)-{64h}-{16a}
buildkite token (bkua|bkpt|bkct|bkaj)_{40l}
cerebras key csk-{48l}
circleci token (CCIPAT|CCIPRJ)_{22a}_{40h}
clickhouse key 4b1d{38a}
clickup token pk_{5-10d}_{32u}
clojars token CLOJARS_{60l}
cloudflare origin-ca-key v1.0-{24h}-{146h}
cloudflare token (cfut|cfat|cfk)_{40+v}
cockroach key CCDB1_{22a}_{40a}
confluent secret cflt{60b}
contentful token CFPAT-{43w}
crates-io token cio{32a}
cursor key key_{64h}
databricks token (dapi|dose|dkea){32h}
databricks suffixed-token dapi{32h}-{1d}
dbt token (dbtu|dbtc)_{40w}
defined-networking token dnkey-{26e}-{52e}
deno token (ddp|ddo)_{36a}
digitalocean token (dop_v1_|doo_v1_|dor_v1_){64h}
discord bot-token (M|N|O){23-25w}.{6w}.{27-38w}
docker token dckr_(pat|oat)_{27-32w}
doppler token dp.(pt|st|ct|sa|scim|audit).{40-44a}
doppler named-token dp.st.{2-35w}.{40-44a}
dropbox token (sl.|sl.u.){130+w}
duffel token duffel_(test|live)_{43e}
dynatrace token (dt0c01|dt0s16|dt0s01).{24a}.{64a}
e2b key e2b_{40h}
easypost key (EZAK|EZTK){54a}
elevenlabs key sk_{48h}
endor token endr+{16n}
exoscale key EXO{24h}
expo token expo_{40+a}
figma token (figd_|figu_|figo_){40-60w}
firecrawl key fc-{32h}
fireworks key fw_{22-24a}
flutterwave key (FLWSECK-|FLWSECK_TEST-){32H}-X
fly access-token fo1_{43w}
fly macaroon (fm1a|fm1r|fm2)_{100+b}{=}
frameio token fio-u-{64e}
friendli token flp_{46a}
gcp hmac-key GOOG1E{57a}
github token (ghp|gho|ghu|ghs|ghr)_{36a}
github fine-grained-token github_pat_{82v}
gitlab token (glpat-|gldt-|glrt-|glft-|glsoat-|glffct-|glrtr-){20-50w}
gitlab routable-token (glpat|glrt|gldt)-{27-300w}.{2l}.{9l}
gitlab agent-token glagent-{50-1000w}
gitlab incoming-mail-token glimt-{25w}
gitlab job-token glcbt-{1-16a}_{6-50w}
gitlab oauth-secret gloas-{64w}
gitlab runner-token GR1348941{20-50w}
gitlab trigger-token glptt-{40w}
gitlab workspace-token glwt-{20w}
google api-key AIza{35w}
google oauth-refresh-token 1//0{40-100w}
google oauth-secret GOCSPX-{28w}
google oauth-token ya29.{20+w}
grafana api-key eyJrIjoi{70-400a}{=}
grafana cloud-token glc_{32+b}{=}
grafana service-account-token glsa_{32a}_{8H}
groq key gsk_{52a}
harness token (pat|sat).{22w}.{24H}.{20a}
hashicorp terraform-token {14a}.atlasv1.{60-70e}
hashicorp vault-batch-token hvb.{60+w}
hashicorp vault-recovery-token hvr.{24+w}
hashicorp vault-legacy-token (s|b).{24a}
hashicorp vault-service-token hvs.{24+w}
helicone key (sk|pk)-helicone-{7l}-{7l}-{7l}-{7l}
heroku key HRKU-AA{58w}
honeycomb ingest-key (hcaik|hcbik|hcxik)_{58l}
hubspot token pat-(na1|na2|eu1|ap1)-{8h}-{4h}-{4h}-{4h}-{12h}
huggingface token (api_org_|hf_){34-40a}
infisical token st.{24h}.{32h}.{32h}
infracost key ico-{32a}
instagram token (IGQV|IGAA){100+w}
intercom token dG9rO{50+e}
ionic token ion_{42l}
jina key jina_{50-70w}
jetbrains token (perm:|perm-){8+b}{=}.{2-20b}{=}.{20+w}
klaviyo key pk_{34h}
langfuse key (sk-lf|pk-lf)-{8h}-{4h}-{4h}-{4h}-{12h}
langsmith token (lsv2_pt_|lsv2_sk_){32h}_{10h}
launchdarkly key (sdk|api|mob)-{8h}-{4h}-{4h}-{4h}-{12h}
linear key (lin_api_|lin_oauth_){40-64a}
liveblocks key sk_(prod|dev)_{64w}
lob key (live|test)_{35h}
lob publishable-key (live_pub|test_pub)_{31h}
logfire token pylf_v1_(us|eu)_{43-60a}
mailchimp key {32h}-us{1-2d}
mailersend token mlsn.{64h}
mailgun key (key-|pubkey-){32h}
mailgun signing-key {32h}-{8h}-{8h}
mapbox secret-token (sk|tk|pk).eyJ{50-200w}.{22w}
maxmind license-key {6a}_{29a}_mmk
mercadopago token (APP_USR|TEST)-{12-18d}-{6d}-{32h}-{6-12d}
meta access-token (EAAM|EAAC|EAAG|EAAB){60+a}
metabase key mb_{43b}=
microsoft teams-webhook webhook.office.com/webhookb2/{8h}-{4h}-{4h}-{4h}-{12h}@{8h}-{4h}-{4h}-{4h}-{12h}/IncomingWebhook/{32h}/{8h}-{4h}-{4h}-{4h}-{12h}
modal token (ak|as)-{22a}
mollie key (live|test)_{30a}
mongodb service-account-secret mdb_sa_sk_{40w}
neon key napi_{64l}
netlify token (nfp|nfc|nfo|nfu|nfb)_{36a}
newrelic browser-key NRJS-{19h}
newrelic ingest-key NRII-{32w}
newrelic license-key {36h}NRAL
newrelic user-key NRAK-{27u}
notion integration-token ntn_{40-50a}
notion token secret_{43a}
npm token npm_{36a}
nuget key oy2{43l}
nvidia key nvapi-{60-70w}
nylas key nyk_v0_{50-70a}
oculus token OC|{10-16d}|{32h}
octopus key API-{26u}
onesignal key (os_v2_app_|os_v2_org_){103l}
onfido token api_(live|sandbox).{11w}.{32w}
openai key sk-(proj-|svcacct-|admin-){16-110w}T3BlbkFJ{16-110w}
openai legacy-key sk-{48a}
deepseek key sk-{32h}
openrouter key sk-or-v1-{64h}
openshift token sha256~{43w}
packagist token packagist_(out|oet|ort|uut|ust)_{68h}
paddle key pdl_(live|sdbx)_apikey_{26l}_{22a}_{3a}
paypal token access_token$(production|sandbox)${16l}${32h}
perplexity key pplx-{48a}
persona key persona_(production|sandbox)_{8h}-{4h}-{4h}-{4h}-{12h}
pinecone key pcsk_{5-6a}_{63a}
plaid token access-(sandbox|development|production)-{8h}-{4h}-{4h}-{4h}-{12h}
planetscale token pscale_(tkn|pw|oauth)_{32-64p}
polar token polar_(oat|pat|whs)_{36-48a}
posthog key (phx|phs)_{43v}
postman key PMAK-{24h}-{34h}
prefect key (pnu|pnb)_{36l}
pubnub secret-key sec-c-{48b}
pulumi token pul-{40h}
pypi token (pypi-AgEIcHlwaS5vcmc|pypi-AgENdGVzdC5weXBpLm9yZw){70+w}
ramp secret ramp_sec_{48a}
rancher token token-{5l}:{54l}
razorpay key rzp_(live|test)_{14a}
readme key rdme_{70l}
render key rnd_{28-36a}
replicate token r8_{37a}
resend key re_{8a}_{24a}
rootly token rootly_{64h}
rubygems token rubygems_{48h}
runpod key rpa_{42-46u}
salesforce token 00{13a}!{80-120p}
samsara token samsara_api_{30a}
scaleway access-key SCW{17u}
scalingo token tk-us-{48w}
segment token sgp_{64a}
sendgrid key SG.{22w}.{43w}
sentry org-token sntrys_eyJ{60-400x}
sentry user-token sntryu_{64h}
settlemint token sm_(aat|pat|sat)_{16a}
shippo token shippo_(live|test)_{40h}
shopify token (shpat|shpca|shppa|shpss)_{32H}
slack app-token xapp-{1d}-{8-14u}-{10-15d}-{30+l}
slack config-token (xoxe.xoxb-|xoxe.xoxp-|xoxe-){1d}-{140-170a}
slack token (xoxb|xoxp|xoxa|xoxr|xoxs)-{9+n}
slack webhook hooks.slack.com/(services|workflows|triggers)/{40-80b}
snyk token (snyk_uat|snyk_sat).{8h}.{40+e}
sonar token (squ|sqp|sqa)_{40a}
sourcegraph token (sgp_|sgp_local_){40h}
sourcegraph instance-token sgp_{16h}_{40h}
sourcegraph license slk_{64h}
square access-token EAAA{60w}
square oauth-secret sq0csp-{43w}
square token sq0atp-{22w}
stripe key (sk|rk)_(live|test|prod)_{16+a}
stripe webhook-secret whsec_{32-64b}
stytch secret secret-(live|test)-{36e}
supabase token sbp_{40h}
supabase secret-key sb_secret_{31w}
tailscale key tskey-(auth|api|client|scim|webhook)-{10-40n}
tavily key (tvly-|tvly-dev-){32a}
teamcity token eyJ0eXAiOiAiVENWMiJ9.{30-60w}.{40-60w}
telegram bot-token {8-10d}:AA{33w}
telnyx key KEY{32u}_{22a}
together key tgp_v1_{43w}
trello token ATTA{64H}
trigger-dev key tr_(dev|prod|stg)_{20-24a}
twilio key SK{32h}
twilio account-sid AC{32h}
twitter bearer-token AAAAAAAAAAAAAAAAAAAAAA{80-100k}
typeform token tfp_{40-59p}
ubidots token BBFF-{30a}
val-town token vtwn_{24-40a}
vercel blob-token vercel_blob_rw_{16a}_{30a}
vercel token (vcp|vci|vca|vcr|vck)_{24-60a}
voyage key pa-{43w}
wakatime key waka_{8h}-{4h}-{4h}-{4h}-{12h}
wandb key wandb_v1_{40-80v}
xai key xai-{80a}
yandex access-token t1.{10-300w}{=}.{86w}{=}
yandex api-key AQVN{35-38w}
yandex aws-key YC{38w}
yandex oauth-token (y0_|y1_|y2_){50-60w}
zoho token 1000.{32h}.{32h}
zuplo key zpka_{32l}_{8h}
"""

FORMATS = tuple(Format(*line.split(" ", 2)) for line in _TABLE.split("\n") if line)
