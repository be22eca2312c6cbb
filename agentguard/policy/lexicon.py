"""Words by which a tool or a parameter tells what it does: the tables that labels are guessed from."""

from __future__ import annotations

__all__ = [
    "BODIES",
    "EFFECTS",
    "EGRESS",
    "FORMATS",
    "IDENTIFIERS",
    "INBOX",
    "NOUNS",
    "READS",
    "SINKS",
    "VALUES",
    "VERBS",
]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Strongest first: of two readings of one name the first of this order wins.
EFFECTS = ("money", "access", "destructive", "send", "write")

VERBS = {
    "money": _set("""
        pay payment transfer charge refund purchase buy withdraw deposit wire donate sell trade remit payout subscribe
        reimburse money fund funds transaction transactions
    """),
    "access": _set("""
        grant revoke authorize authorise permit impersonate unlock elevate password permission permissions share unshare
        invite credential credentials login
    """),
    "destructive": _set("""
        delete remove drop purge erase destroy wipe truncate kill terminate uninstall overwrite cancel execute exec run
        eval shell command bash terminal python sql script reset revert discard trash unlink rm clear
    """),
    "send": _set("""
        send post publish reply respond forward notify tweet submit broadcast dm upload mail email message announce call
        text fax push ping webhook alert export deliver
    """),
    "write": _set("""
        create update set add write edit append insert save put move rename copy schedule book reserve assign mark modify
        change patch upsert register configure approve accept reject close open merge commit enable disable start stop
        order place apply sync import make generate store record log tag label comment react pin archive confirm sign
        reschedule join leave complete lock toggle
    """),
}

READS = _set("""
    get list read search find lookup look fetch query show describe view check count calculate compute summarize summarise
    browse load retrieve scan inspect status download recall is has compare convert translate estimate display print
    detect analyze analyse extract parse visit scrape crawl resolve validate verify explain what who when where today now
    current return returns
""")

# Acting verbs that are nouns as often: after a reading verb they are what is read ("get_mail", "list_orders").
NOUNS = _set("""
    mail email message text call post comment label tag record log order start alert ping pin permission permissions
    credential credentials password command script share charge deposit purchase payment export import store place trade
    book mark change login refund transfer run money fund funds transaction transactions
""")

SINKS = (
    ("secret", _set("password passwd secret token pin otp credential credentials passphrase apikey")),
    ("command", _set("command cmd commands sql code script shell expression bash statement")),
    ("attachment", _set("attachment attachments")),
    ("account", _set("account iban bic swift card wallet routing payee beneficiary")),
    ("amount", _set("amount price sum total cost budget quantity fee salary value")),
    ("recipient", _set("""
        to cc bcc recipient recipients receiver receivers email emails mail addressee phone participants attendees
        invitees address addresses
    """)),
    ("url", _set("url urls link links href uri endpoint webhook domain host hostname website site src")),
    ("channel", _set("channel channels room chat thread group team workspace repo repository board")),
    ("path", _set("path paths file files filename filepath dir folder directory destination dest source target")),
    ("date", _set("""
        date time start end when due deadline day datetime timestamp begin until since from checkin checkout month year
    """)),
    ("id", _set("id ids uuid guid sku ref reference isbn key ticket order invoice")),
    ("person", _set("""
        name user username person owner member employee customer contact assignee author guest traveller traveler passenger
    """)),
)  # fmt: skip

FORMATS = {
    "email": "recipient", "idn-email": "recipient", "uri": "url", "url": "url", "iri": "url", "hostname": "url",
    "date": "date", "date-time": "date", "time": "date", "uuid": "id", "password": "secret", "path": "path",
    "file-path": "path", "directory-path": "path",
}  # fmt: skip

# Parameters that hold what a model writes.
BODIES = _set("""
    body text message content contents subject title description note notes comment comments html markdown summary caption
    prompt question reply details reason instructions memo remark explanation answer data payload template snippet bio
    about
""")
# Parameters that select something, whatever else they are called by.
IDENTIFIERS = _set("id ids uuid guid email iban account recipient to cc bcc url path key sku isbn")

EGRESS = _set("url web website webpage http https internet browse browser scrape crawl visit online google bing rss")
INBOX = _set("""
    inbox mail mails email emails message messages notification notifications dm dms mention mentions comments invitation
    invitations request requests shared sms voicemail tickets issues reviews
""")
# Fields that hold one value and no prose.
VALUES = _set("""
    id ids uuid guid email iban date time amount price total count status currency phone number sku year month day created
    updated timestamp quantity rating score lat lon latitude longitude percent version size
""")
