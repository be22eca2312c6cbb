# ruff: noqa: S105 - the names say what the patterns find
"""Values under a key that says what they are: passwords, tokens and keys in code, JSON, YAML, TOML, INI, env, XML, shell.

The value is reported without its quotes. A value that stands alone on the line behind its opening tag is the one place
where a match crosses a line feed; ``agentguard.detect.stream`` holds such a line back.
"""

from __future__ import annotations

from agentguard.detect.recognizers import judgement
from agentguard.detect.recognizers.engine import Recognizer
from agentguard.detect.recognizers.formats import parts_of

__all__ = ["ASSIGNMENTS", "KEYED"]

_CLOSE = r"""(?:[ \t](?:string|str|String))?(?:\[[0-9]{0,6}\])?\\?["'`\])}]{0,2}[ \t]{0,8}"""
_OPERATOR = r"(?::{1,3}=|\?=|!={1,2}|=>|->|={1,3}|\|\||:|[ \t]is[ \t])"
_SET = rf"""(?:{_CLOSE}{_OPERATOR}|\\?["'][ \t]{{0,4}},)[ \t]{{0,8}}"""
_NEXT_LINE = r"[ \t]{0,8}\r?\n[ \t]{0,40}"

_PASSWORD_KEY = (
    r"(?i:pass(?:word|wd|phrase|code)|\bpwd|_pwd|[_-]pw\b|[_-]pass\b|\bpasswort|mot_de_passe|contrase(?:n|ñ)a)"
    r"(?:[_-]?[0-9A-Za-z]{0,12}){0,2}"
)
_SECRET_KEY = (
    r"(?i:secret|api[_.\- ]?key|apikey|access[_.\- ]?key|auth[_.\- ]?key|account[_.\- ]?key|shared[_.\- ]?key|"
    r"private[_.\- ]?key|encryption[_.\- ]?key|signing[_.\- ]?key|master[_.\- ]?key|license[_.\- ]?key|"
    r"token|credentials?|\bauth|_auth)(?:[_-]?[0-9A-Za-z]{0,16})"
)
_FORMS = {
    "double": (
        "{key}" + _SET + r"""(?:[brufBRUF]{0,2}|\\)"(?P<v>(?:[^"\\\n]|\\[^"\n])+(?:\\"[^"\\\n,;:})]+)*)\\?["]""",
        r"""[^\n]*[:=>s,|][^\n]*["]""",
    ),
    "single": (
        "{key}" + _SET + r"""[brufBRUF]{0,2}['`](?P<v>(?:[^'`\\\n]|\\[^\n])+)['`]""",
        r"""[^\n]*[:=>s,|][^\n]*['`]""",
    ),
    "bare": ("{key}" + _SET + "{bare}", r"""[^\n]*[ \t:=,|]"""),
    "line": (
        r"(?m:^)[ \t]*(?:export[ \t]+|-[ \t]+)?[0-9A-Za-z_.\-]{0,40}{key}[ \t]{0,4}[:=]{1,3}[ \t]{0,4}(?P<v>[^\s\"'`#]\S{7,})[ \t]*(?m:$)",
        r"[^\n]*[:=]",
    ),
    "xml": (r"<[^<>\n]{0,60}{key}[^<>\n]{0,40}>[ \t]{0,8}(?P<v>[^<>\s][^<>\n]*)</", r"[^<>\n]*>"),
    "element": (
        r"<[^<>\n]{0,60}{key}[^<>\n]{0,40}>" + _NEXT_LINE + r"(?P<v>[^<>\s]*[^<>\s:])[ \t]{0,8}(?:\r?\n|$)",
        r"[^<>\n]*>[ \t]*\r?\n",
    ),
    "attribute": (r"""{key}["']?[ \t]{1,4}value[ \t]{0,2}=[ \t]{0,2}["'](?P<v>[^"'\n]+)["']""", r"[^\n]*value"),
    "option": (r"--[a-z-]{0,24}{key}[ \t]+[\"']?(?P<v>[^\s\"'\-][^\s\"']{3,})", r"[ \t]"),
}
_FORMS["reversed"] = (
    r"""["'](?P<v>[^"'\n]+)["'][ \t]{0,4}[!=]={1,2}[ \t]{0,4}[0-9A-Za-z_.]{0,40}{key}""",
    "",
)
_FORMS["call"] = (r"""{key}(?:\.assign)?[ \t]?\(?["'](?P<v>[^"'\n]{8,})["']""", r"""[^\n]*["'][^\n]*["']""")
_NOISE_ONLY = frozenset({"line", "call"})
_PASSWORD_BARE = r"""(?P<v>[^\s"'`,;<>(){}\[\]|&\\]{3,})"""
_SECRET_BARE = r"(?P<v>[A-Za-z0-9_+/=.~!@#$%^*:-]{8,})"


def _assignments() -> tuple[Recognizer, ...]:
    kinds = (
        ("password", _PASSWORD_KEY, _PASSWORD_BARE, judgement.password),
        ("key", _SECRET_KEY, _SECRET_BARE, judgement.key),
    )
    return tuple(
        Recognizer(
            f"secret.{kind}",
            f"{kind}-{form}",
            pattern.replace("{key}", key).replace("{bare}", bare),
            trigger=key + trigger if trigger else r"""["'][ \t]*[!=]={1,2}[ \t]*[0-9A-Za-z_.]*""" + key,
            validator=judgement.line if form in _NOISE_ONLY else check,
            score=0.8,
            rank=0,
            keywords=(kind,),
        )
        for kind, key, bare, check in kinds
        for form, (pattern, trigger) in _FORMS.items()
    )


ASSIGNMENTS = _assignments()

# Provider, name, words that stand before it, template (see ``formats``). For tokens without a mark of their own.
_TABLE = """
adobe client-id adobe {32H}
algolia api-key algolia {32l}
airtable api-key airtable {17a}
artifactory password artifactory|jfrog|bintray|xray (AP0|AP1|AP2|AP3|AP5|AP6|APA|APB|AKC){8+a}
asana client-secret asana {32l}
atlassian api-token atlassian|confluence|jira {24a}
auth0 client-secret auth0 {64w}
aws secret-access-key aws|amazon {40b}
bitbucket client-id bitbucket {32a}
bitbucket client-secret bitbucket {64e}
bittrex key bittrex {32l}
browserstack access-key browserstack|automate {20a}
cisco-meraki api-key meraki {40h}
cloudant key cloudant|clou {64h}
cloudant api-key cloudant|clou {24l}
cloudflare api-key cloudflare {40w}
cloudflare global-api-key cloudflare {37h}
codecov token codecov {32l}
cohere api-token cohere|co_api {40a}
coinbase token coinbase {64w}
confluent access-token confluent {16l}
confluent secret-key confluent {64l}
consul token consul {8H}-{4H}-{4H}-{4H}-{12H}
contentful delivery-token contentful {43e}
datadog access-token datadog|dd_api|dd_app {40l}
datadog api-key datadog|dd_api {32h}
deepgram api-key deepgram {40h}
discord client-id discord {18-19d}
discord client-secret discord {32e}
discord public-key discord {64h}
droneci token droneci|drone {32l}
dropbox secret dropbox {15l}
etsy token etsy {24l}
facebook secret facebook|fb_ {32h}
fastly token fastly {32e}
finicity client-secret finicity {20a}
finicity token finicity {32h}
finnhub token finnhub {20a}
flickr token flickr {32l}
freemius secret freemius|secret_key sk_{29a}
freshbooks token freshbooks {64l}
gitter token gitter {40w}
gocardless token gocardless live_{40e}
heroku key heroku {8H}-{4H}-{4H}-{4H}-{12H}
hetzner token hetzner|hcloud {64a}
hubspot key hubspot {8H}-{4H}-{4H}-{4H}-{12H}
ibm cloud-key ibm|ibm.?cloud|ibm.?iam|iam.?key {44w}
ibm cos-secret ibm.?cos|secret_access_key|hmac {48h}
intercom key intercom {60e}
jfrog key jfrog|JFrog|artifactory|bintray|xray {64-73a}
kraken token kraken {80-90x}
kucoin access-token kucoin {24h}
kucoin secret-key kucoin {8H}-{4H}-{4H}-{4H}-{12H}
launchdarkly token launchdarkly {40e}
linear client-secret linear {32h}
linkedin client-secret linkedin|linked_in|linked-in {16l}
linkedin client-id linkedin|linked_in|linked-in {14l}
linode token linode {64h}
lokalise token lokalise {40h}
looker client-id looker {20l}
looker client-secret looker {24l}
mailchimp key mailchimp {32h}
mailjet key mailjet {32h}
mattermost token mattermost {26l}
messagebird token messagebird|message_bird|message-bird|MessageBird {25l}
messagebird client-id messagebird|message_bird|message-bird|MessageBird {8H}-{4H}-{4H}-{4H}-{12H}
mistral key mistral {32a}
netlify token netlify {40-46e}
nytimes token nytimes|new-york-times|newyorktimes {32e}
okta token okta 00{40w}
openweather key openweather|owm {32h}
pagerduty key pagerduty|pd_ {20a}
plaid client-id plaid {24a}
plaid secret plaid {30a}
privateai token privateai|private_ai|private-ai {32l}
rapidapi token rapidapi {50w}
recaptcha secret recaptcha 6L{38w}
scaleway secret-key scaleway|scw {8H}-{4H}-{4H}-{4H}-{12H}
sendbird token sendbird {40h}
sendbird access-id sendbird {8H}-{4H}-{4H}-{4H}-{12H}
sentry token sentry {64h}
sidekiq secret contribsys__com|CONTRIBSYS__COM {8h}:{8h}
snyk token snyk {8H}-{4H}-{4H}-{4H}-{12H}
softlayer key softlayer|soft.layer|sl.?api|sl.?key {64l}
sonar token sonar {40a}
spotify secret spotify {32h}
squarespace token squarespace {8H}-{4H}-{4H}-{4H}-{12H}
sumologic access-id sumo su{12a}
sumologic access-token sumo {64l}
travis token travis {22a}
trello token trello {32-64a}
twitch token twitch {30l}
twitter api-key twitter {25l}
twitter api-secret twitter {50l}
twitter access-token twitter {15-25d}-{20-40a}
twitter access-secret twitter {45l}
vercel token vercel {24a}
vultr key vultr {36u}
wandb key wandb|weights {40h}
zendesk secret zendesk {40l}
"""


def _spellings(words: str) -> str:
    """Each word in lower case, capitalized and in capitals: other mixtures are parts of other words."""
    forms = {form for word in words.split("|") for form in (word, word[0].upper() + word[1:], word.upper())}
    return "|".join(sorted(forms))


def _keyed(row: str) -> Recognizer:
    provider, name, words, template = row.split(" ", 3)
    parts = tuple(parts_of(template))
    body, last = "".join(part.pattern for part in parts), parts[-1]
    dash = "-" if last.alphabet.endswith("-") else ""
    end = f"(?:[^0-9A-Za-z_{last.alphabet.rstrip('-')}{dash}]|$)" if last.high is not None else ""
    key = rf"(?:{_spellings(words)})[0-9A-Za-z_.\- \t]{{0,24}}"
    operator = rf"""{_CLOSE}(?:{_OPERATOR}|,|>)[ \t]{{0,8}}(?:[brufBRUF]{{0,2}}\\?["'`])?"""
    example = f'{words.partition("|")[0].replace(".?", "_")}_value = "{"".join(part.samples()[0] for part in parts)}"'
    return Recognizer(
        f"secret.{provider}-{name}",
        f"{provider}-{name}-by-key",
        rf"{key}{operator}(?P<v>{body}){end}|<[^<>\n]{{0,60}}{key}>{_NEXT_LINE}(?P<w>{body})[ \t]{{0,8}}(?:\r?\n|$)",
        provider=provider,
        trigger=rf"(?:{_spellings(words)})[0-9A-Za-z_.\- \t]*[\"'`\\\])}}]*[ \t]*[:=,>?|\-i]",
        validator=judgement.keyed,
        examples=lambda: (example,),
        negatives=lambda: (example[:-2] + '"',),
        keywords=tuple(words.split("|")),
        score=0.9,
    )


KEYED = tuple(_keyed(line) for line in _TABLE.split("\n") if line)
