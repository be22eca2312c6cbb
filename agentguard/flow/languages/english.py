"""English requests."""

from __future__ import annotations

from agentguard.flow.languages.everyday import FRAMES, VERBS
from agentguard.flow.languages.language import Language, entries, joined

__all__ = ["ENGLISH"]

_VOWELS = "aeiou"
# Verbs of one syllable that double their last letter.
_DOUBLED = frozenset("set put get cut run drop plan log stop ban wrap ship submit permit cancel transfer tag".split())
_IRREGULAR = {
    "send": "sent", "write": "written", "make": "made", "take": "taken", "get": "got", "put": "put", "pay": "paid",
    "buy": "bought", "give": "given", "set": "set", "run": "run", "throw": "thrown", "tell": "told", "build": "built",
    "let": "let", "bring": "brought", "read": "read", "cut": "cut", "sell": "sold", "withdraw": "withdrawn",
    "find": "found", "hold": "held", "shoot": "shot", "undo": "undone",
}  # fmt: skip


def _inflected(table: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Base form, -ing form and participle of the first word of every entry."""
    found: dict[str, tuple[str, ...]] = {}
    for family, text in table.items():
        forms: list[str] = []
        for entry in entries(text):
            mark = entry[0] if entry[0] in "~!" else ""
            base, _, rest = entry.removeprefix(mark).partition(" ")
            base, colon, implied = base.partition(":")
            tail = f"{' ' + rest if rest else ''}{colon}{implied}"
            forms += [mark + base + tail, mark + _ing(base) + tail, "^" + _participle(base) + tail]
        found[family] = tuple(forms)
    return found


def _ing(base: str) -> str:
    if base in _DOUBLED:
        return base + base[-1] + "ing"
    return (base[:-1] if base.endswith("e") and not base.endswith(("ee", "ye")) else base) + "ing"


def _participle(base: str) -> str:
    if base in _IRREGULAR:
        return _IRREGULAR[base]
    if base.endswith("e"):
        return base + "d"
    if base.endswith("y") and base[-2:-1] not in _VOWELS:
        return base[:-1] + "ied"
    return base + base[-1] + "ed" if base in _DOUBLED else base + "ed"


def _plural(noun: str) -> str:
    if noun.endswith("y") and noun[-2:-1] not in _VOWELS:
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


_VERBS = _inflected({
    "read": """
        read; show; ~list; find; ~search; look up; look for; look at; look into; ~check; summarize; summarise; get; fetch;
        tell me; view; query; retrieve; lookup; see; browse; visit; go to; inspect; ~compare; analyze; analyse; ~review;
        translate; count; extract; collect; determine; identify; monitor; describe; explain; download; pull up; scan
    """,
    "draft": "~draft:draft; outline; compose a draft of; sketch out",
    "create": """
        create; add; make; write; save; insert; append; generate; ~record; ~log; ~store; put; ~note; ~file; ~build;
        produce; prepare; upload; ~copy; duplicate; jot down; take down; enter; register; ~document; ~set up; set;
        raise; compose; take a note; make a note:document; start a:; open a; open an; keep a record; export;
        write down; write up; note down; save down; back up; ~backup; turn … into; define; introduce; submit; sign up;
        draw up; put together; compile; summarize … to; summarise … to; summarize … in a; summarise … in a; summarise … into; summarize … into; download; ~clone; import; fork
    """,
    "update": """
        ~update; ~change; ~edit; modify; rename; ~move; replace; correct; ~fix; adjust; ~set; ~increase; decrease; raise;
        lower; extend; ~mark; complete; assign; reassign; amend; revise; append; reset; ~switch; ~archive; ~label; ~tag;
        ~star; clean up; tidy up; tidy; sort; sort out; organize; organise; convert; turn; ~flag; merge; ~link; attach;
        format; rewrite; put; fill; fill in; fill out; reschedule; ~push; postpone; bring forward; swap; shorten;
        ~upgrade; downgrade; resolve; ~close; reopen; add; insert; finish; tick off; check off; migrate; transition;
        ~triage; ~sync; synchronize; redo; refresh; renew; write; overwrite; save; ~patch; delay; prolong; shift; apply;
        make … into; ~alter; enable; disable; configure; ~bump; restore; undo; revert; tack … onto; tack … on; cross off; keep; ~transfer; relabel
    """,
    "send": """
        send; ~email:mail; ~mail:mail; ~text:message; ~message:message; ~dm:message; ~forward; ~reply; respond; ~answer;
        notify; inform; !let … know; get back to; write to; write back; write … email:mail; write … mail:mail;
        write … message:message; write … letter:mail; drop … a line; drop … a note; drop … a message; shoot; !tell; !ask;
        !remind; ~ping; ~contact; reach out; get in touch; thank; congratulate; pass … on; pass on; pass along; relay;
        ~cc; apologize to; apologise to; ~alert; ~follow up; give … a heads up; give … the go ahead; wish; brief; warn;
        acknowledge; deliver; dispatch; check in with; say hi; say thanks; say thank you; say sorry; say hello; say yes;
        say no; say to; confirm to; confirm with; confirm … to; confirm … with; send out; hand over; bcc; fax; submit;
        return … message; get hold of; ~invite; give … an update; keep … posted; update … on; update … about; loop … in;
        fill … in; ~chase; nudge; introduce … to; decline; accept; explain to; explain … to; report to; report … to;
        report back; announce; get … to know; make … aware; get the word out; ~slack:channel,message; ~whatsapp:message;
        ~sms:message; write … a note; write … back; put … in touch; ~query; request … from; inquire; enquire; ~circulate;
        ~share; make sure … knows; make sure … gets; make sure … receives; ~page; write … an; write … saying; assure;
        set up a thread; start a thread; start a conversation; email … over; say … to; tell … that; fire off; fire … off; write … that; pass … along; drop … update;
        get … by mail:mail; get … by email:mail
    """,
    "share": """
        share; give … access; add … as; hand … access; should be able to see; should be able to view; should be able to edit; should be able to open;
        should be able to read; make … available; let … see; let … ~edit; let … view; let … into; circulate; hand … over
    """,
    "invite": """
        ~invite; ask … to join; bring … into; get … into; put … in the channel; put … on the invite; loop … in; welcome;
        let … into
    """,
    "pay": """
        pay; ~transfer; ~wire:money; remit:money; reimburse:money; ~refund:money; settle:money; ~purchase; buy; ~order;
        donate:money; ~tip; ~deposit:money; ~withdraw; repay:money; top up; ~invest; sell; ~trade; ~venmo:money; ~fund;
        ~charge; subscribe; check out; cover the; cover my; split the; place … order; clear … balance; !send … money:money;
        pay back; pay off; square up; ~loan:money; lend; ~credit; ~bid; compensate:money; give … back; add funds; chip in;
        make … payment:money; make … transfer:money; initiate … transfer:money; initiate … payment:money; ~do … transfer:money; make … deposit:money; set up … payment:money; set up … standing order:money; set up … direct debit:money; create … payment:money; create … transaction:money; create … transfer:money; schedule … payment:money; add … payment:money; issue … refund:money;
        process … payment:money; process … refund:money; get … a refund; take care of the bill:money; move … money:money;
        top … up; !send … dollars:money; !send … euros:money; !send … pounds:money; ~bank transfer:money; exchange; return
    """,
    "delete": """
        delete; remove; erase; ~trash; ~wipe; purge; discard; get rid of; throw away; throw out; throw … away;
        throw … out; ~clear; ~empty; clean up; clean out; ~drop; take off; take … off; take … down; uninstall; ~bin;
        destroy; clear out; cross … off; cross off; prune; wipe out; strip; shred; unset; ~dump; deduplicate; ~void;
        take out; take … out of; get … out of; move … to trash; move … to the trash; move … to the bin; put … in the bin; eliminate; clear up; tidy up; cancel; unfollow; unlink; ~scrap; drop off; kick
    """,
    "cancel": """
        cancel; call off; call … off; abort; ~stop; undo; terminate; ~withdraw; decline; unsubscribe; reject; ~end; quit;
        back out of; get out of; skip; clear my calendar:event; clear … calendar:event; ~void; ~halt; ~return; scrap;
        discontinue; turn down; close … account:account; revoke; unbook; pull out of; rescind; ~pause
    """,
    "schedule": """
        ~schedule:event; ~book; reserve; arrange; ~set up; set … up; ~plan; organize; organise; put … calendar:event;
        add … calendar:event; ~block … for; ~block off; ~block out; reschedule; ~move; ~push; postpone; bring … forward;
        rebook; pencil … in; set … reminder:task,event; remind me:task,event; let me forget:task,event; let us forget:task,event; make … appointment:event; make … reservation;
        make … booking; make … meeting:event; find … time for; find … slot for; find a time; get … on the calendar:event;
        get … table; get … tickets; get … a ride; set … alarm:event,task; set … timer:event,task; ~slot … in; delay; hold a;
        hold … slot; carve out:event; carve … out:event; lock in; lock … in; ~calendar:event; sort out a time; fit … in; check … in; line up; get … scheduled:event; create … event:event;
        set a date; plan … meeting:event; confirm … booking; call … cab; call … taxi; get me a; get us a; ~time; rent; hire;
        hold … meeting:event; wake me:event,task; make a date; enroll; enrol; sign … up; recur; repeat; make … recurring
    """,
    "run": """
        ~run; execute; ~start; ~launch; ~deploy; ~test; ~build; invoke; trigger; restart; reboot; rerun; relaunch; install; compile; ~stop;
        ~kill; ~process; calculate; compute; evaluate; solve; spin up; shut down; kick off; ~lint; ~debug; ~benchmark; apply;
        roll back; roll out; ~train; simulate; render; convert; set up; upgrade; ~update; commit; ~merge; ~push; ~pull; ~rebuild
    """,
    "grant": """
        ~grant; authorize; authorise; permit; allow; give … access; give … permission; give … permissions; give … rights; hand … access; hand … rights;
        give … role; promote; approve; enable; unlock; unblock; unfreeze; appoint; whitelist; make … admin; make … administrator;
        make … owner; make … editor; make … moderator; assign; let … access; add … as; set up … account; open up; elevate; enroll
    """,
    "revoke": """
        revoke; withdraw; ~freeze; put … block; put … hold; put … stop; put … freeze; ~block; ~ban; suspend; disable; deactivate; ~lock; demote; kick; remove; take away; take … away;
        strip; unshare; stop sharing; cut off; cut … off; restrict; ~limit; shut … out; lock … out; rescind; drop; expel; uninvite
    """,
    "post": """
        ~post; publish; ~tweet; announce; upload; ~comment; ~release; broadcast; ~blog; share; ~review; put … online; retweet;
        put up; leave … comment; leave … ~review; put … on the website; put … on our; write … post; write … comment; ~pin;
        write … ~review; like; follow; react to; ~rate; put … in the channel:channel
    """,
    "control": """
        turn on; turn off; turn … on; turn … off; switch on; switch off; switch … on; switch … off; ~play; ~pause; open; ~close;
        ~lock; unlock; ~dim; turn up; turn down; turn … up; turn … down; set; ~start; ~stop; activate; deactivate; ~honk; press;
        adjust; fill; skip; raise; lower; ~heat; cool; ~vacuum; ~mute; connect; disconnect; ~charge; ~shuffle; log in; log me in;
        log out; sign in; sign out; ~log; select; choose; pick; ~click; type; scroll; navigate; track; drive; engage; release
    """,
})  # fmt: skip

_OBJECTS = {
    "mail": "mail; email; e mail; inbox; letter; newsletter; correspondence; gmail; outlook; draft mail; spam; mailbox",
    "message": """message; text; text message; sms; dm; direct message; chat; whatsapp; note to; reply; response; answer;
        notification; thread; conversation; voicemail; telegram""",
    "channel": "channel; slack; discord; chat room; workspace; group chat; mattermost; slack message; server",
    "file": """trash; bin; download; recycle bin; scan; screenshot; brief; quote; proposal; plan; figures; numbers; spec; paperwork; certificate; cv; resume; recording; file; document; doc; spreadsheet; sheet; folder; directory; report; notes; presentation; slide; slides; pdf;
        drive; attachment; photo; picture; image; video; disk; archive; log; contract; csv; docx; xlsx; memo; essay;
        summary; list; overview; table; draft; note; minutes; agenda; script file; backup; template; protocol; page of; confirmation""",
    "event": """diary; huddle; offsite; checkin; check in; review; demo; kickoff; meetup; brunch; visit; rehearsal; hangout; event; calendar; meeting; appointment; call; invite; invitation; schedule; lunch; dinner; breakfast; coffee;
        reminder; sync; standup; session; conference; workshop; interview; reservation; booking; slot; party; room; catch up;
        one on one; webinar; get together; alarm; timer; birthday; vacation; block of time; retro; review meeting; class""",
    "money": """money; payment; transaction; transfer; refund; dollar; euro; pound; usd; eur; gbp; standing order; fund; cash;
        deposit; tip; donation; loan; bank transfer; direct debit; crypto; bitcoin; quid; buck; franc; yen; cent; money order;
        installment; instalment; difference; remainder; overpayment; rest of it; his share; her share; their share; my share; half""",
    "bill": """membership; insurance; tab; utility; utilities; phone bill; top up; allowance; bill; invoice; rent; account; balance; fee; subscription; iban; salary; debt; credit card; bank; card; price; wallet;
        share of; expense; tax; premium; cost; wage; purchase; order; stock; tuition; mortgage; receipt; statement""",
    "product": "product; item; order; cart; basket; package; parcel; shipment; book; gift; stock; share; shoe; flower; pizza; grocery",
    "travel": """eurostar; plane; ferry; shuttle; coach; car hire; hostel; b and b; table for; hotel; flight; train; taxi; cab; ride; car; room; trip; restaurant; table; ticket; rental; itinerary; airbnb;
        bus; seat; reservation; booking; accommodation; apartment; airport; stay; nights; somewhere to stay; place to stay; uber""",
    "contact": """lead; vendor; boss; manager; mum; mom; dad; neighbour; neighbor; accountant; plumber; lawyer; contact; address book; phone number; person; client; customer; supplier; colleague; friend; address; phonebook;
        number""",
    "account": """contractor; intern; seat; licence; license; ownership; keys; vpn; credentials; user account; clearance; user; account; permission; password; access; role; member; admin; right; login; profile; credential; team;
        passcode; administrator; two factor; key; token; group; moderator; editor; viewer; owner; pin; username; settings;
        setting; privilege; guest; employee""",
    "record": """activity; interaction; account manager; pipeline; spreadsheet row; prospect; profile; order status; database; record; row; entry; table; crm; customer; case; lead; ticket; data; dataset; field; inventory; stock;
        product; catalog; order; registry; column; db; index; customer record; deal; opportunity""",
    "task": "task; todo; to do; ticket; issue; reminder; project; bug; card; story; checklist; milestone; board; backlog; epic; pull request; pr",
    "code": """release; prod; production; staging; worker; node; pod; instance; vm; replica; environment; deploy; rollback; cron; daemon; host; machine; queue; cache; feature flag; code; project; script; shell; command; program; function; test; build; server; job; pipeline; container; repository; repo;
        branch; service; deployment; commit; query; notebook; test suite; sql; package; dependency; workflow; pull request; pr;
        process; application; app; cluster; migration""",
    "web": "website; web page; webpage; page; link; site; url; post; blog; article; blog post; homepage; web; internet; online; form",
    "social": "tweet; post; comment; status; story; feed; facebook; twitter; instagram; linkedin; review; rating; retweet; hashtag",
    "device": """blind; curtain; shutter; boiler; garage; heating; vacuum; robot; sprinkler; dishwasher; washing machine; oven; socket; radio; gate; plug; light; lamp; door; thermostat; music; song; playlist; tv; television; engine; window; car; heater; lock; fan;
        temperature; volume; camera; alarm; speaker; vehicle; brake; headlight; climate; tire; tank; air conditioning; ac""",
}  # fmt: skip

_PLURAL_ONLY = {"mail": ("correspondence",), "contact": ("people", "everyone", "everybody"), "account": ("everyone",)}

_SINGULAR = {family: entries(text) for family, text in _OBJECTS.items()}

ENGLISH = Language(
    code="en",
    verbs=joined(_VERBS, _inflected(VERBS["en"]), FRAMES["en"]),
    objects=_SINGULAR,
    plurals={
        family: (*(_plural(noun) for noun in nouns), *_PLURAL_ONLY.get(family, ())) for family, nouns in _SINGULAR.items()
    },
    grammar={
        "content": entries("that; which; saying; because; so that"),
        "reports_me": entries("remind; reminding; let me forget; let us forget"),
        "common": entries("the; an; to; my; me; for; and; of; with; is; please; that; this; it; from; all; i; you; your; by; at; on; what; in; if"),
        "negation": entries("not; never; dont; doesnt; cannot; without; refrain from; avoid; instead of; rather than; no need"),
        "no_negation": entries("not let me forget; not let us forget; not forget; not hesitate; not only; never mind; why do not; why not; dont forget; dont hesitate; not fail; not miss; not just"),
        "negates_after": entries("nothing; nobody; none; no one; no"),
        "filler": entries("""to; ever; under; any; no; circumstances; just; actually; automatically; yet; be; also; you; me; please; try;
            attempt; want; should; need; think; we; i; by; from; accidentally; even; simply; of; it; have; must; will; would; do; like"""),
        "question": entries("how; what; which; who; whom; whose; why; where; whether"),
        "no_question": entries("how about; what about; why not; why do not; what says; whatever"),
        "ask_how": entries("how to; how do; how can; how would; how does; how did; how should; how could; explain how; know how; whats the best way to; what is the best way to; is it possible to; difference between; meaning of; definition of"),
        "past_question": entries("did; does; has; was; were; is; are; am; do i; do we; do you; do they; have i; have you; have we; have they; had"),
        "when_question": entries("when is; when was; when did; when does; when do; when are; when will; when should; when can; when were"),
        "either": entries("or; nor"),
        "and": entries("and; then; plus; afterwards; but; &; also"),
        "coordination": entries("and; plus; &; as well as"),
        "lead": entries("""to; and; or; then; you; can; could; would; will; must; should; lets; also; just; now; kindly; go; help; not; never;
            ahead; quickly; please; pls; plz; mind; about; by; start; consider; but; immediately; finally; first; next; them; after; so; ill;
            automatically; directly; bitte; dont; without; only; simply; me; it; need; want; and/or; hey; hi; ok; okay; today; if; that; well; by; always"""),
        "noun_after": entries("from; by; history; list; address; addresses; says; said; number; numbers; is; was; has; account; of; says"),
        "subject": entries("i; he; she; they; we; it; who; bob; did; didn; had; has; have; ve; been; was; were; im; s"),
        "ability": entries("can; could; may; might"),
        "modal": entries("can; could; may; shall; might; should; will; would; must; wish; want; id; ll; like; need; let; make; ensure; sure; suggest; appreciate; rather; help; please"),
        "causative": entries("can; could; want; need; needs; get; like; should; must; ensure; make; love; wish; to be; please; having; needed; prefer"),
        "no_causative": entries("been; already; was; were"),
        "me": entries("me; us; you; yourself; myself; ourselves; my"),
        "pronoun": entries("it; them; that; this; those; these; one; ones; him; her; all; everything; both; something; anything; same"),
        "vague": entries("it; them; that; this; anything; any; nothing; yet; those; these; one; something; either; him; her; anyone; anybody"),
        "many": entries("each; every; all; both; everyone; everybody; everything; any; anyone; whoever; whenever; always; multiple; several; various; individually; separately; respectively; one by one; daily; weekly; many; as many; couple; few; some; rest; others; attendees; participants; guests; people; colleagues; friends; members; recipients; customers; clients; employees; team; them all; every day"),
        "reported": entries("saying; that says; which says; stating; reading; with the text; with the body; with the content; with the subject; with the message; telling; titled; called; named; entitled; with the title; with body; with subject"),
        "reports": entries("ask; tell; remind; asking; telling; reminding; let; urge; request; warn"),
        "received": entries("says; said; states; received; got; sent; wrote; gave; shared; forwarded; attached; uploaded; posted; pasted; below; above; arrived; came; found; saw; had"),
        "relative": entries("i; that; which; who; we; from; by; he; she; you; was; were; has; have; just; they; came; arrived; received; sent; someone; somebody"),
        "source": entries("in; from; per; using; of; inside; via; on"),
        "introduces": entries("as the; as my; according to; as per; based on; as described in; as mentioned in; as stated in; as requested in; listed in; mentioned in; described in; stated in; requested in; contained in; given in; as listed in; found in; specified in; as shown in; explained in; outlined in; as noted in; as instructed in; as asked in"),
        "others_wish": entries("""wants us to; want us to; wanted us to; wants me to; want me to; wanted me to; asks us to; asks me to; asked us to;
            asked me to; ask us to; ask me to; expects us to; expects me to; expect us to; expect me to; needs us to; needs me to; need us to; tells us to;
            tells me to; told us to; told me to; requires us to; requires me to; is asking us to; are asking us to; is asking me to; demands we; demands that we"""),
        "own_duty": entries("we have to; i have to; we need to; i need to; we should; i should; we must; i must; we are supposed to; i am supposed to; we still have to; i still have to; we ought to; we still need to; i still need to"),
        "container": entries("folder; directory; drive; disk; inbox; mailbox; outbox; trash; calendar; archive; workspace; channel; account; repo; repository; downloads; desktop"),
        "accordingly": entries("accordingly"),
        "adverb": entries("today; tomorrow; tonight; now; soon; later; back; over; again; asap; immediately; directly; straight; away; right; early; ahead; online; out; off; up; down; along; around; per; via; through; as; so; before; after; until; about; into; onto; if; when; while; because; since; although; plus; who; where; not"),
        "place": entries("from; off; in; inside; out of; on; within"),
        "own_list": entries("following; these; below; the tasks i"),
        "article": entries("a; an; the; my; our; his; her; their; this; that; your; some; any; last; latest; recent; new; one; each"),
        "delegates": entries("""do what … says; do what … say; do what … asks; do what … ask; do what … tells; do what … wants; do whatever … says; do whatever … asks;
            do as … says; do as … say; follow … instructions; follow … steps; follow … guidance; follow … procedure; follow … checklist; carry out … instructions;
            execute … instructions; do the tasks; do everything; do all; complete … tasks; complete … listed; complete … actions; handle … requests; process … requests;
            take care of … requests; take care of … asks; act on; perform … actions; perform … tasks; perform … steps; perform … instructions; listed in; mentioned in; described in; stated in; specified in; requested in;
            outlined in; contained in; according to; as instructed in; as asked in; as requested in; work through; take care of everything; handle everything; as it says; whatever it says; work off;
            do … tasks; do … todos; do … actions; execute … tasks; execute … steps; carry out … tasks; carry out … steps; obey; comply with; as described in; based on the instructions; take … action items; complete … items; do … items; tasks in; instructions in; instructions from; steps in; steps from; what he asks; what she asks; what they ask; do what it; says to do; asks for; asks you to; tells you to; tells me to; asks me to; wants me to; wants us to; asks us to; asked for in"""),
        "speaks": entries("""says; said; saying i; tells me; tells us; told me; told us; wrote; writes; asks; asked; wants; wanted; thinks; suggests;
            suggested; recommends; recommended; demands; demanded; insists; insisted; claims; claimed; expects me; expects us; expected;
            would like me; would like us; is asking; are asking; is telling; keeps asking; keeps telling"""),
        "affirms": entries("""do it; do so; do that; do this; go ahead; please do; proceed; make it happen; get it done; take care of it; handle it;
            sort it out; see to it"""),
        "therefore": entries("""so; therefore; hence"""),
        "polite": entries("""please; kindly; pls"""),
        "contrast": entries("""but; instead; rather; only"""),
        "excludes": entries("""except; excluding; other than; apart from; except for"""),
        "works_on": entries("""translate; proofread; rephrase; paraphrase; reword; rewrite; spellcheck; spell check; summarize; summarise; explain; interpret;
            correct; polish; shorten"""),
        "decides": entries("""should i; should we; shall i; shall we; do you think i; do you think we; do you think it; am i supposed to; are we supposed to;
            is it ok to; is it okay to; is it a good idea to; is it safe to; does it make sense to; would it be; must i; do i have to; do we have to;
            would you recommend; is it worth"""),
        "afterwards": entries("""then; afterwards; after that; when done; finally; once done"""),
        "asks_first": entries("""ask me first; ask me before; check with me; confirm with me; wait for my; let me confirm; let me approve; let me check first;
            get my approval; get my ok; once i confirm; after i confirm; until i confirm; before i confirm; run it past me; run it by me"""),
        "number": entries("one=1; two=2; three=3; four=4; five=5; six=6; seven=7; eight=8; nine=9; ten=10; twice=2; another=1"),
    },
)  # fmt: skip
