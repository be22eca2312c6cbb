"""The injection rules as data: what overriding, extracting, forging and secretly ordering look like, per language.

Patterns are RE2 over folded text (lower case, no accents), so words may be written here as they are spelled.
Every gap is bounded; a match never runs across a blank line.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RULES", "Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One grammar. ``user`` weighs a hit in a user's own prompt, ``other`` in text by tools and other agents."""

    type: str
    name: str
    pattern: str
    user: float
    other: float

    def weight_in(self, channel: str) -> float:
        """Developers' system messages are not judged; the model's own words are judged like a user's."""
        if channel == "system":
            return 0.0
        return self.user if channel in ("user", "assistant") else self.other


def _both(type_: str, name: str, pattern: str, weight: float) -> Rule:
    return Rule(type_, name, pattern, weight, weight)


_VERB = (
    r"(?:ignor(?:e|ing)|disregard(?:ing)?|forget|overrid(?:e|ing)|overrule|bypass(?:ing)?|circumvent|discard|neglect|abandon|"
    r"disobey|violate|break|erase|cancel|nullify|invalidate|supersede|set aside|pay no attention to|skip|drop|remove|disable|"
    r"(?:do not|don'?t|never|stop) (?:follow(?:ing)?|obey(?:ing)?|comply with|listen(?:ing)? to|adher(?:e|ing) to))"
)
_FILL = r"(?:(?:all|any|every|everything|each|of|the|these|those|that|this|your|my|our|its|other|and|or|whatever|both)\W{1,3}){0,5}"
_OLD = (
    r"(?:previous|previously|prior|preceding|earlier|above|foregoing|past|existing|original|initial|current|former|old|"
    r"system|safety|security|ethical|moral|internal|following|subsequent|developer(?:'s)?|openai(?:'s)?|pre-?set|given|aforementioned|"
    r"built-in|hidden|content|usual|standard|core|base)"
)
_WHAT = (
    r"(?:instructions?|prompts?|rules?|directions?|directives?|guidelines?|guidance|commands?|orders|constraints?|restrictions?|"
    r"polic(?:y|ies)|programming|protocols?|safeguards?|guardrails?|filters?|limitations?|limits|training|messages?|conversations?|"
    r"requests?|assignments?|tasks?|principles|moderation|measures|controls|checks|settings)"
)
_HIDDEN_TEXT = (
    r"(?:(?:system|initial|original|hidden|secret|internal|developer|pre|base|entire|full|complete|exact|first|starting|"
    r"confidential|custom|core|previous|prior|above|very)[\s-]{1,2}){1,4}"
    r"(?:prompts?|instructions?|directives?|guidelines|preamble)\b|\b(?:system|developer|initial) messages?"
)
_TELL = (
    r"(?:reveal|show|print|output|repeat|display|tell|give|leak|disclose|expose|share|recite|dump|spell|"
    r"translate|summari[sz]e|encode|quote|echo|see|what (?:is|are|was|were)|what'?s)"
)
_AI = r"(?:ai|a\.i\.|assistants?|llms?|agents?|chatbots?|bots?|language models?|gpt|chatgpt|claude|copilot|gemini|models?)"

_ENGLISH = (
    _both(
        "injection.override",
        "en-override-old",
        rf"\b{_VERB}\W{{1,3}}{_FILL}(?:{_OLD}\W{{1,3}}(?:and |or )?){{1,3}}{_WHAT}\b",
        0.85,
    ),
    _both(
        "injection.override",
        "en-override-all",
        r"\b(?:ignor(?:e|ing)|disregard(?:ing)?|forget|overrid(?:e|ing)|bypass)\W{1,3}(?:all|any|every|your|each|the (?:above|rest))\W{1,3}"
        r"(?:of\W)?(?:the |these |those |your |other )?(?:instructions?|prompts?|rules|directives?|guidelines|restrictions?|constraints?|programming|safeguards?|guardrails?)\b",
        0.75,
    ),
    _both(
        "injection.override",
        "en-override-before",
        r"\b(?:ignore|disregard|forget)\W{1,3}(?:all |about |any )?(?:of )?(?:everything|all|anything|whatever|what|the instructions?|instructions)\b"
        r"[^.\n]{0,30}\b(?:above|before|previously|prior|so far|until now|up to (?:now|this point)|(?:i|we|they|you were|you have been|you'?ve been) (?:said|told|given|instructed|learned))\b",
        0.8,
    ),
    _both(
        "injection.override",
        "en-ignore-above",
        r"\b(?:ignore|disregard)\W{1,3}(?:all )?(?:of )?(?:the )?(?:above|preceding|foregoing)\b",
        0.6,
    ),
    _both(
        "injection.override",
        "en-forget-all",
        r"\bforget\W{1,3}(?:about )?(?:everything|all)\W{1,3}(?:you|that|i|we|else|before|above|and|the previous)\b",
        0.65,
    ),
    _both(
        "injection.override",
        "en-new-instructions",
        r"\b(?:(?:here are|these are|follow|obey|with) (?:your |the |my |these |the following )?new (?:instructions|rules|orders|directives)|"
        r"(?:new|updated|real|actual|true) (?:system )?(?:instructions?|directive|prompt|task)\s*:|"
        r"your (?:new|real|actual|true|only|updated) (?:task|instructions?|goal|objective|purpose|mission|role|directive|job) (?:is|are|now)\b)",
        0.6,
    ),
    _both(
        "injection.override",
        "en-from-now-on",
        r"\bfrom (?:now|this point|this moment|here) on(?:ward|wards)?\b[^.\n]{0,40}\byou(?:'re| are| will| must| shall| should|'ll| can| have| only| speak| act)\b",
        0.45,
    ),
    _both(
        "injection.override",
        "en-new-focus",
        r"\b(?:now|instead|and) (?:focus|concentrate) on (?:your )?new\b|\bstart(?:ing)? over\b[^.\n]{0,30}\bnew (?:task|instructions)\b",
        0.5,
    ),
    _both(
        "injection.extraction",
        "en-extract-prompt",
        rf"\b{_TELL}\b[^.|\n]{{0,30}}\b(?:your |the |this |its |all )?(?:{_HIDDEN_TEXT})\b",
        0.6,
    ),
    _both(
        "injection.extraction",
        "en-extract-yours",
        r"\b(?:reveal|show|print|output|repeat|display|leak|disclose|expose|recite|dump|tell me|give me|what (?:is|are|were))\b[^.\n]{0,24}\byour (?:\w+ ){0,2}(?:prompts?|instructions?|directives|guidelines|rules|system message|configuration|secrets?)\b",
        0.6,
    ),
    _both(
        "injection.extraction",
        "en-extract-above",
        r"\b(?:repeat|print|output|echo|copy|recite|translate|write)\b[^.\n]{0,30}\b(?:everything|all|text|words|the (?:words|text|sentences?|lines?|content|paragraphs?)|what(?:ever)?)\b[^.\n]{0,20}\b(?:above|before this)\b",
        0.6,
    ),
    _both(
        "injection.extraction",
        "en-extract-secrets",
        r"\b(?:reveal|leak|disclose|expose|exfiltrate|dump)\b[^.\n]{0,20}\b(?:all|your|the) (?:\w+ )?(?:secrets?|passwords?|credentials|api keys?|private keys?|confidential (?:information|data))\b",
        0.55,
    ),
    _both(
        "injection.jailbreak",
        "en-dan",
        r"\bdo anything now\b|\b(?:stay a|act as|are|as|called|be) dan\b|\bdan mode\b|\bdan:|\[🔓|\bjailbroken\b|\b(?:enable|enter|activate|switch to) (?:developer|god|jailbreak|sudo|unrestricted) mode\b|\bdeveloper mode (?:enabled|output|on)\b",
        0.65,
    ),
    _both(
        "injection.jailbreak",
        "en-unrestricted",
        r"\b(?:unrestricted|unfiltered|uncensored|amoral|unethical|immoral|evil|lawless|without (?:any )?(?:restrictions?|filters?|limits|limitations|censorship|ethic\w*|moral\w*|rules))\b[^.\n]{0,60}\b(?:ai|assistant|chatbot|bot|model|chatgpt|gpt|response|answer|character|persona|mode)\b",
        0.5,
    ),
    _both(
        "injection.jailbreak",
        "en-no-limits",
        r"\b(?:you|it|he|she|they|who|which|that|and|ai|dan) (?:\w+ )?(?:have|has|had|having|are|is|being|am|need|needs|will|does|do)(?: now| no longer| not|n'?t| been| be| completely| totally)? ?(?:no|free(?:d)? (?:of|from)|bound by|restricted by|limited by|have any|have to (?:follow|abide|adhere|comply)|constrained by|abide by|adhere to|required to follow)[^.\n]{0,30}"
        r"\b(?:restrictions?|rules|filters?|limitations?|limits|guidelines|polic(?:y|ies)|constraints|ethic\w*|moral\w*|censorship|boundaries|programming|chains|openai)\b",
        0.55,
    ),
    _both(
        "injection.jailbreak",
        "en-never-refuse",
        r"\b(?:never|not|cannot|can'?t|without|don'?t) (?:\w+ ){0,3}(?:refus(?:e|ing)|decline|reject)\b[^.\n]{0,40}\b(?:requests?|answer|question|anything|any|instruction|order|user|me|prompt|task)\b|\bnever (?:say|says|respond|replies?|answers?)[^.\n]{0,20}(?:i can'?t|i cannot|i'?m sorry|\"i can|no\b)",
        0.45,
    ),
    _both(
        "injection.jailbreak",
        "en-persona",
        r"\b(?:you are (?:now )?|act (?:as|like) |pretend (?:to be |you are |you'?re )|simulate |roleplay as |role-play as |take on the role of )[^.\n]{0,60}\b(?:dan|evil|unrestricted|unfiltered|uncensored|jailbroken|no (?:rules|restrictions|filters?|limits|ethics|morals)|amoral|aim|stan|dude|machiavelli\w*|malicious)\b",
        0.55,
    ),
    _both(
        "injection.jailbreak",
        "en-two-answers",
        r"\b(?:two|both) (?:different |separate )?(?:responses|answers|ways|outputs)\b[^\n]{0,160}\b(?:normal|standard|classic|chatgpt|jailbreak|dan|developer)\b",
        0.4,
    ),
    _both(
        "injection.jailbreak",
        "en-policy-off",
        r"\b(?:openai|content|usage|safety|ethical)(?:'s)? (?:content |use |usage )?(?:polic(?:y|ies)|guidelines|filters?|restrictions?|rules)\b[^.\n]{0,50}\b(?:no longer|not|don'?t|doesn'?t|disabled|removed|lifted|bypass\w*|ignor\w*|irrelevant|override\w*)\b",
        0.45,
    ),
    _both(
        "injection.jailbreak",
        "en-hypothetical",
        r"\b(?:hypothetical|fictional|alternate|parallel)\b[^.\n]{0,60}\b(?:no (?:rules|laws|restrictions|ethics|moral\w*)|everything is (?:legal|allowed)|anything is (?:allowed|possible|legal))\b",
        0.4,
    ),
    _both(
        "injection.jailbreak",
        "en-stay-in-character",
        r"\b(?:stay in (?:character|dan)|breaks? character|break(?:ing)? (?:out of )?character)\b",
        0.1,
    ),
)

_MORE = (
    _both(
        "injection.extraction",
        "en-extract-given",
        r"\b(?:repeat|print|output|show|reveal|encode|translate|recite|display|tell me)\b[^.\n]{0,40}\b(?:instructions?|text|words|prompt|rules|everything|what) (?:that )?(?:you were|you have been|you'?ve been|you had been|was|were) (?:given|told|shown|provided)\b",
        0.6,
    ),
    _both(
        "injection.extraction",
        "en-repeat-conversation",
        r"\b(?:repeat|recite|print|output) (?:back )?(?:this |the |our )?(?:entire|whole|full) (?:conversation|context|chat|dialogue?)\b",
        0.6,
    ),
    _both(
        "injection.override",
        "en-stop-everything",
        r"\bstop (?:everything|all tasks|what you(?:'re| are) doing)\b",
        0.55,
    ),
    _both(
        "injection.override",
        "en-forgot-to-ask",
        r"\b(?:forgot|neglected|failed) to (?:ask|tell|instruct) you to\b|\bnew (?:important|urgent|critical|priority|additional) (?:instructions?|task|directive|orders)\b",
        0.55,
    ),
    _both(
        "injection.override",
        "de-forget-all",
        r"\b(?:vergiss|vergessen sie|vergesst|ignoriere?n?|ignorier(?:t|en sie))\W{1,3}(?:\w+\W{1,3}){0,3}(?:alles|gesagte\w*|gesagt|bisherige\w*|vorherige\w*|davor|zuvor|obige\w*)",
        0.6,
    ),
    Rule(
        "injection.exfiltration",
        "image-with-slot",
        r"!\[[^\]\n]{0,80}\]\(https?://[^\s)]{1,200}[?&/=](?:\[|\{|<|%7b|\$\{)[^\s)]{0,80}|<img[^>\n]{0,200}\bonerror\b",
        0.15,
        0.6,
    ),
)

# A changed frame: from here on other rules are said to hold, or a task of somebody else comes first.
_FRAMES = (
    _both(
        "injection.override",
        "regardless-of-instructions",
        rf"\b(?:regardless|irrespective|independent(?:ly)?) of (?:what |any |all |whatever |your |the ){{0,3}}(?:{_OLD} ){{1,2}}{_WHAT}\b",
        0.8,
    ),
    Rule(
        "injection.override",
        "special-mode",
        r"\b(?:you are|you're|now|operating|running|enter(?:ing)?|switch(?:ing)? to|we are|currently|activate|activating|system is)(?: now)?(?: operating| running| working)? (?:in |into |the |to ){0,2}(?:\w+ )?(?:developer|dev|debug(?:ging)?|diagnostics?|maintenance|admin(?:istrator)?|god|root|test(?:ing)?|training|unrestricted|emergency|experimental) mode\b",
        0.35,
        0.6,
    ),
    Rule(
        "injection.override",
        "labelled-order",
        r"(?:^|[\n.!?>|]\s{0,3})(?:experimental|debug(?:ging)?|diagnostic|emergency|special|hidden|developer|admin|maintenance|secret|mandatory|override|system) (?:procedure|protocol|instruction|task|command|case|function(?:ality)?|mode|request|directive|action|challenge|operation|exercise|goal)s? ?(?:[:!]|enabled|activated)",
        0.25,
        0.45,
    ),
    Rule(
        "injection.override",
        "for-test-purposes",
        r"\b(?:for|as part of)(?: the| our| a| an| its| your){0,2} (?:training|testing|tests?|debug(?:ging)?|development|evaluation|diagnostics?|quality assurance|demonstration|academic|research)(?: purposes?| reasons| phase| process| exercise| procedure| program)?[,:]? (?:please |kindly |you (?:must|should|need to|have to|will) |(?:perform|execute|provide|output|print|answer|include|carry out) (?:the following|this))",
        0.3,
        0.5,
    ),
    Rule(
        "injection.override",
        "unlock-hidden",
        r"\b(?:unlock|activate|enable|access|discover|use|call|run) (?:your |the |a |all ){0,2}(?:hidden|secret|undocumented|restricted) (?:functions?|functionalit(?:y|ies)|features?|capabilit(?:y|ies)|modes?|powers?|commands?)\b",
        0.4,
        0.6,
    ),
    Rule(
        "injection.override",
        "prove-by",
        r"\bprove (?:that |to me |me )?(?:you are|you're|your|you can)\b[^.\n]{0,60}\bby\b",
        0.2,
        0.5,
    ),
    Rule(
        "injection.addressed",
        "in-your-answer",
        r"\b(?:include|add|append|print|write|insert|end|begin|start|output|mention|put|say|repeat)\b[^.\n]{0,80}\b(?:at the (?:end|beginning|start|top|bottom) of|in|into|to) your (?:next |final |own )?(?:response|answer|reply|summary|output|message)\b",
        0.0,
        0.5,
    ),
)

_FORGERY = (
    _both(
        "injection.role-forgery",
        "role-line-order",
        r"(?:^|[\n>\]\"'#*=\-]|\s{2})[ \t]{0,4}(?:system|developer|admin(?:istrator)?|root)[ \t]?(?:message|prompt|override|update|instruction|note|alert|notice|command)?s?[ \t]?[:>\]][^\n]{0,60}\b(?:override|ignore|disregard|disable|bypass|you (?:are|must|will|should|have)|new (?:task|instruction|rule)|reveal|grant|unlock|forget|execute|enter|switch)\b",
        0.8,
    ),
    _both(
        "injection.role-forgery",
        "chat-template",
        r"<\|(?:im_start|im_end|im_sep|system|user|assistant|end|endoftext|endofprompt|start_header_id|end_header_id|eot_id|begin_of_text|channel|message)\|>|\[/?inst\]|<</?sys>>|<(?:start|end)_of_turn>|<\|(?:tool|python)[a-z_]{0,16}\|>",
        0.6,
    ),
    Rule(
        "injection.role-forgery",
        "role-tag",
        r"</?(?:system|system[_-]?(?:prompt|message|instructions?|override)|developer|admin|instructions?|user|assistant|tool_result|function_results|function_call)>|\[/?(?:system|admin|developer|end of (?:document|context|data|input))[^\]\n]{0,24}\](?:[^(]|$)",
        0.35,
        0.5,
    ),
    Rule(
        "injection.role-forgery",
        "section-system",
        r"(?:^|\n)[ \t]{0,4}[#=*\-]{2,8}[ \t]{0,2}(?:system ?(?:prompt|message|instructions?|override|update|note)?s?[ \t]{0,2}(?:[:#=*\-]|\n|$)|new (?:\w+ )?(?:instructions?|prompt|task)|instructions? for|end of (?:document|user|data|text|input|context|system)|begin (?:system|instructions?))",
        0.4,
        0.55,
    ),
    Rule(
        "injection.role-forgery",
        "turn-forgery",
        r"(?:^|\n)[ \t]{0,4}(?:user|human|assistant|ai|system)[ \t]?:[^\n]{0,400}\n[^\n]{0,400}\n?[ \t]{0,4}(?:assistant|ai|user|human)[ \t]?:",
        0.0,
        0.3,
    ),
    Rule(
        "injection.impersonation",
        "important-message",
        r"\b(?:this is an? |an? )?(?:very )?(?:important|urgent|critical|priority|emergency) (?:message|instructions?|notice|update|request|directive|info|information)\b[^.\n]{0,24}\b(?:from|by|for|to) (?:me|the user|your|the (?:system|admin\w*|developer|owner|assistant|ai|agent)|[a-z]+[,:.!])",
        0.35,
        0.75,
    ),
    Rule(
        "injection.tool-poison",
        "important-tag",
        r"<(?:important|critical|urgent|secret|hidden|priority)>|<!--[^>]{0,40}\b(?:assistant|ai|agent|llm|instruction|ignore|system)\b",
        0.3,
        0.75,
    ),
    Rule(
        "injection.tool-poison",
        "before-using-tool",
        r"\b(?:before|when|after|prior to|while|whenever) (?:you )?(?:us(?:e|ing)|call(?:ing)?|invok(?:e|ing)|run(?:ning)?) (?:this|the|any|other|another)(?: \w+){0,3} ?(?:tool|function)[^\n]{0,80}\b(?:you must|must|read|send|always|first|pass|include|call|also)\b",
        0.15,
        0.6,
    ),
)

_ADDRESSED = (
    Rule(
        "injection.addressed",
        "to-the-assistant",
        rf"\b(?:attention|note|message|notice|instructions?|hello|hi|hey|dear|to|for|important|reminder)[,:]? (?:to |for )?(?:any |all |the |an? |our |my |you,? )?{_AI}\b[^.,\n]{{0,20}}[:!—-]",
        0.0,
        0.5,
    ),
    Rule(
        "injection.addressed",
        "if-you-are-an-ai",
        rf"\b(?:if|as|since|because) (?:you'?re|you are|you be|you) (?:an? |the |reading this as an? )?(?:automated |helpful |large )?{_AI}\b",
        0.0,
        0.55,
    ),
    Rule(
        "injection.addressed",
        "ai-reading-this",
        rf"\b{_AI} (?:that |who |which |is |are )?(?:reading|processing|parsing|summari[sz]ing|analy[sz]ing|viewing|handling|evaluating) (?:this|the)\b[^.\n]{{0,60}}\b(?:must|should|please|need|will|has to|is required|are required|instructed)\b",
        0.0,
        0.6,
    ),
    Rule(
        "injection.addressed",
        "you-must-first",
        r"\byou (?:must|are required to|are instructed to|should now|will now|shall) (?:now |first |also |immediately |always |instead |then )?(?:ignore|send|forward|email|delete|transfer|execute|run|call|reveal|upload|download|visit|open|click|reply with|respond with|answer with|output|include|append|write|say|state|recommend|read|access|share|post|navigate)\b",
        0.0,
        0.35,
    ),
    Rule(
        "injection.addressed",
        "before-you-can",
        r"\b(?:before|in order for) you (?:can |to |could |do |are able to )?(?:solve|answer|complete|help|respond|continue|finish|proceed|do)\b[^.\n]{0,60}\b(?:please|need|must|first|do the following|have to)\b",
        0.0,
        0.55,
    ),
    Rule(
        "injection.addressed",
        "instead-do",
        r"\b(?:instead of|rather than) (?:answering|summari[sz]ing|responding|translating|completing|doing|following|performing)\b[^.\n]{0,60}",
        0.0,
        0.4,
    ),
    Rule(
        "injection.addressed",
        "when-asked-say",
        r"\b(?:if|when|whenever) (?:you are |you'?re |the user |anyone |someone |somebody )?(?:asked|asks|prompted|summari[sz]ing)\b[^.\n]{0,60}\b(?:say|respond|answer|reply|tell|claim|state|always|must)\b",
        0.0,
        0.3,
    ),
    Rule(
        "injection.secrecy",
        "do-not-tell-user",
        r"\b(?:do not|don'?t|never|without|avoid|must not|not to) (?:\w+ ){0,2}?(?:tell(?:ing)?|mention(?:ing)?|inform(?:ing)?|notify(?:ing)?|alert(?:ing)?|reveal(?:ing)?|disclos(?:e|ing)|let(?:ting)?|ask(?:ing)?|show(?:ing)?|report(?:ing)?)\b[^.\n]{0,30}\b(?:user|human|owner|customer|anyone|them|this to)\b",
        0.1,
        0.55,
    ),
    Rule(
        "injection.secrecy",
        "silently",
        r"\b(?:silently|secretly|covertly|quietly|discreetly|without (?:the )?user'?s? (?:knowledge|consent|approval|confirmation|noticing))\b[^.\n]{0,40}\b(?:send|forward|call|run|execute|upload|read|include|add|transfer|delete|copy|email|post)\b",
        0.15,
        0.55,
    ),
    Rule(
        "injection.exfiltration",
        "send-to-url",
        r"\b(?:send|forward|post|upload|exfiltrate|transmit|leak)\b[^\n]{0,60}\b(?:conversations?|chat|history|passwords?|secrets?|credentials?|tokens?|keys?|contents?|files?|data|emails?|messages?|details|prompts?|\.env|id_rsa|documents?|information)\b[^\n]{0,40}\b(?:to) (?:https?://|[a-z0-9._%+-]+@[a-z0-9.-]+|my (?:server|email)|the (?:url|following (?:url|address|email)|attacker))",
        0.1,
        0.5,
    ),
    Rule(
        "injection.exfiltration",
        "url-with-data",
        r"https?://[^\s)\"'<>]{3,200}[?&][a-z_]{1,24}=(?:\{|\[|<|%7b|\$\{)[^\s)\"'<>]{0,60}|!\[[^\]\n]{0,80}\]\(https?://[^\s)]{1,200}[?&][a-z_]{1,24}=",
        0.1,
        0.45,
    ),
    Rule(
        "injection.exfiltration",
        "append-data-to-link",
        r"\b(?:append|encode|embed|include|insert|add|replace|put|render|display|load)\b[^\n]{0,80}\b(?:url|link|image|markdown|query|parameter)\b[^\n]{0,80}\b(?:conversation|user'?s?|secret|password|data|history|summary|email|above|message|prompt)\b",
        0.1,
        0.4,
    ),
)


def _foreign(lang: str, verbs: str, fill: str, old: str, what: str) -> tuple[Rule, ...]:
    """Verb, fillers, then qualifier and object in either order: adjectives follow their noun in half of these languages."""
    gap = rf"\W{{1,3}}(?:(?:{fill})\W{{1,3}}){{0,5}}"
    either = rf"(?:(?:{old})\W{{1,3}}(?:(?:{fill})\W{{1,3}})?(?:{what})|(?:{what})\W{{1,3}}(?:(?:{fill})\W{{1,3}}){{0,3}}(?:{old}))"
    return (_both("injection.override", f"{lang}-override", rf"(?:{verbs}){gap}{either}", 0.8),)


_FOREIGN = (
    *_foreign(
        "de",
        r"ignorier\w*|missacht\w*|vergiss|vergesse\w*|uberschreib\w*|umgeh\w*|beachte\w*|verwirf\w*|ubergeh\w*",
        r"sie|bitte|nun|jetzt|alle[nrs]?|samtliche[nr]?|die|den|das|deine[nr]?|ihre[nr]?|meine[nr]?|von|dir|ihnen|was|nicht|diese[nr]?|und|zuvor|der|davon|einfach",
        r"vorherige[nrs]?|vorige[nr]?|vorangegangene[nr]?|vorhergehende[nr]?|bisherige[nr]?|fruhere[nr]?|obige[nr]?|oben|gegebene[nr]?|erhaltene[nr]?|zuvor|ursprungliche[nr]?|system\w*|sicherheits\w*|alle[nr]?|deine[nr]?|ganzen?",
        r"\w*anweisung(?:en)?|\w*instruktion(?:en)?|befehle?n?|regeln?|\w*vorgaben?|\w*richtlinien?|\w*prompts?|auftrage?|aufgaben?|informationen|anordnung(?:en)?|nachrichten|kontext|\w*einstellungen",
    ),
    *_foreign(
        "fr",
        r"ignor(?:e|ez|er|ons)|oubli(?:e|ez|er|ons)|ne ten(?:ez|s) (?:pas|aucun) compte|neglige\w*|contourn\w*|outrepass\w*|annul\w*|fais abstraction",
        r"toutes?|tous|les|la|le|l|tes|vos|mes|ces|des|de|d|ce|que|qui",
        r"precedent\w*|anterieur\w*|ci-dessus|initial\w*|systeme|prealables?|de securite|donnees?|recues?|toutes?|tes|vos",
        r"instructions?|consignes?|regles?|directives?|ordres?|prompts?|commandes?|messages?|restrictions?",
    ),
    *_foreign(
        "es",
        r"ignor(?:a|e|ar|en)|olvid(?:a|e|ar|en|ate|ese)|desestim\w*|haz caso omiso|haga caso omiso|omit(?:e|a|ir)|no (?:hagas|haga) caso|descart\w*|anula",
        r"todas?|todos?|las?|los?|el|tus|sus|mis|esas?|estas?|de|del|a|que|lo",
        r"anterior(?:es)?|previ[ao]s?|precedentes?|arriba|iniciales|originales|del sistema|de seguridad|dadas?|todas?|tus",
        r"instruccion(?:es)?|reglas?|ordenes|indicacion(?:es)?|directrices|directivas?|prompts?|mensajes?|comandos?|restricciones|normas",
    ),
    *_foreign(
        "it",
        r"ignora(?:re|te)?|dimentica(?:re|te)?|trascura(?:re|te)?|scarta(?:re|te)?|non (?:seguire|considerare|tenere conto)|aggira",
        r"tutt[eio]|le|la|gli|i|il|tue|vostre|mie|queste|quelle|delle|di|che",
        r"precedent[ei]|anterior[ei]|sopra|inizial[ei]|original[ei]|di sistema|di sicurezza|ricevute|tutte|tue",
        r"istruzion[ei]|regol[ae]|indicazion[ei]|direttiv[ae]|ordini|comandi|prompt|messaggi|restrizioni",
    ),
    *_foreign(
        "pt",
        r"ignor(?:e|a|ar|em)|esque[cç](?:a|e|er|am)|desconsider(?:e|a|ar|em)|desrespeit\w*|descart\w*|nao (?:siga|sigas)",
        r"todas?|todos?|as?|os?|tuas|suas|minhas|essas?|estas?|de|das|dos|que",
        r"anterior(?:es)?|previ[ao]s?|precedentes?|acima|iniciais|originais|do sistema|de seguranca|dadas|todas|suas",
        r"instruc(?:ao|oes)|regras?|ordens|orientac(?:ao|oes)|diretrizes|comandos?|prompts?|mensagens|restricoes",
    ),
    *_foreign(
        "nl",
        r"negeer|vergeet|omzeil|overschrijf|sla over|veronachtzaam",
        r"alle|al|de|het|je|jouw|uw|mijn|deze|die|van|alles",
        r"vorige|voorgaande|eerdere|bovenstaande|voorafgaande|oorspronkelijke|gegeven|systeem|alle|jouw",
        r"instructies?|regels?|opdrachten?|richtlijnen|aanwijzingen|prompts?|berichten|systeeminstructies",
    ),
    *_foreign(
        "pl",
        r"zignoruj\w*|ignoruj\w*|zapomnij|pomin|omin|odrzuc|nie zwracaj uwagi na",
        r"o|wszystkie|wszystkich|wszelkie|swoje|twoje|moje|te|tych|na|z",
        r"poprzedni\w*|wczesniejsz\w*|powyzsz\w*|dotychczasow\w*|systemow\w*|wszystkie|swoje|twoje",
        r"instrukcj\w*|polecen\w*|zasad\w*|regul\w*|wytyczn\w*|prompt\w*|wiadomosci|komend\w*",
    ),
    *_foreign(
        "ru",
        r"игнорируй\w*|проигнорируй\w*|забудь\w*|не обращай\w* внимания на|отмени\w*|обойди\w*|пренебреги\w*",
        r"все|всех|про|о|об|свои|твои|ваши|мои|эти|на|те",
        r"предыдущ\w*|прежн\w*|прошл\w*|вышеуказанн\w*|вышестоящ\w*|ранее|данные|системн\w*|исходн\w*|все|свои|твои",
        r"инструкци\w*|указани\w*|правил\w*|команд\w*|директив\w*|промпт\w*|сообщени\w*|распоряжени\w*|ограничени\w*",
    ),
    _both(
        "injection.override",
        "tr-override",
        r"(?:onceki|yukaridaki|tum|butun|sistem) (?:\w+ ){0,2}(?:talimat|kural|komut|yonerge|emir|mesaj|istem)\w* (?:\w+ ){0,2}(?:yok say|goz ardi et|unut|gormezden gel|dikkate alma|iptal et)\w*",
        0.8,
    ),
    _both(
        "injection.override",
        "ar-override",
        r"(?:تجاهل|انس|انسى|تجاوز|الغ|لا تتبع|اهمل)\w*\W{1,3}(?:(?:جميع|كل|كافة|عن|كل ما)\W{1,3}){0,2}(?:ال)?(?:تعليمات|اوامر|توجيهات|قواعد|ارشادات|تعليماتك|رسائل|قيود)\w*(?:\W{1,3}(?:ال)?(?:سابقة|سابقه|اعلاه|سابق\w*|اولية|اصلية|نظام))?",
        0.75,
    ),
    _both(
        "injection.override",
        "hi-override",
        r"(?:पिछले|पिछली|पहले के|पूर्व|उपरोक्त|ऊपर के|ऊपर दिए गए|सभी)[^।\n]{0,24}(?:निर्देश|निर्देशों|आदेश|आदेशों|नियम|नियमों|हिदायत)[^।\n]{0,16}(?:अनदेखा|नज़रअंदाज़|नजरअंदाज|भूल|उपेक्षा|अनदेखी|छोड़)",
        0.8,
    ),
    _both(
        "injection.override",
        "zh-override",
        r"(?:忽略|忽视|无视|無視|忘记|忘記|忘掉|不要理会|不要遵守|不理会|绕过|繞過|覆盖|放弃)[^。\n]{0,12}(?:之前|以前|以上|上面|前面|先前|此前|上述|所有|一切|全部|你的|系统|系統|原有|既有|任何)[^。\n]{0,8}(?:指令|指示|说明|說明|规则|規則|提示|命令|要求|对话|對話|限制|设定|設定|内容|约束)",
        0.8,
    ),
    _both(
        "injection.override",
        "zh-override-object-first",
        r"(?:把|将|將)?(?:之前|以上|上面|前面|先前|所有)[^。\n]{0,6}(?:指令|指示|规则|規則|提示|命令)[^。\n]{0,6}(?:忽略|忘记|忘掉|无视|作废|抛弃)",
        0.8,
    ),
    _both(
        "injection.override",
        "ja-override",
        r"(?:これまで|今まで|以前|上記|前|すべて|全て|全部|先|システム|元|既存)[^。\n]{0,12}(?:指示|命令|ルール|プロンプト|指令|制約|規則|設定|指図|会話)[^。\n]{0,10}(?:無視|忘れ|破棄|従わない|従うな|取り消|上書き|無効)",
        0.8,
    ),
    _both(
        "injection.override",
        "ko-override",
        r"(?:이전|앞의|앞선|위의|지금까지|기존|모든|시스템|상기)[^.\n]{0,12}(?:지시|명령|규칙|프롬프트|지침|설정|제한|대화)[^.\n]{0,10}(?:무시|잊어|잊고|따르지|취소|파기|덮어)",
        0.8,
    ),
    _both(
        "injection.extraction",
        "multi-extract",
        r"(?:zeig\w*|nenn\w*|verrat\w*|gib|montre\w*|revele\w*|affiche\w*|muestra\w*|revela\w*|mostra\w*|mostre\w*|muestre\w*|dime|toon|onthul|pokaz|ujawnij|покажи\w*|раскрой\w*|выведи\w*|goster\w*|显示|输出|告诉我|泄露|透露|表示して|教えて|보여|알려|اكشف|اظهر|اعرض)[^.。\n]{0,30}(?:system-?\s?prompts?|systemanweisung\w*|prompt (?:du |de |del |do )?(?:systeme|sistema)|instructions? (?:systeme|initiales|secretes)|instrucciones (?:del sistema|iniciales|secretas|ocultas)|istruzioni (?:di sistema|iniziali|segrete)|instrucoes (?:do sistema|iniciais)|systeemprompt|instrukcj\w* systemow\w*|системн\w* (?:промпт|инструкц|подсказ)\w*|sistem (?:istemi|talimat)\w*|系统提示|系統提示|初始指令|システムプロンプト|시스템 프롬프트|موجه النظام|تعليمات النظام)",
        0.7,
    ),
    _both(
        "injection.override",
        "en-squashed",
        r"(?:ignore|disregard|forget|override|bypass)(?:all|any|the|your|of|my){0,4}(?:previous|prior|above|preceding|earlier|system|safety)(?:instruction|prompt|rule|guideline|directive|message)s?",
        0.85,
    ),
)

_PAYLOADS = (
    _both(
        "payload.sql",
        "sql-stacked",
        r"(?:['\")]|\b\d+)\s{0,4};\s{0,4}(?:drop|delete|insert|update|alter|exec(?:ute)?|truncate|create|grant|shutdown)\s",
        0.9,
    ),
    _both(
        "payload.sql",
        "sql-tautology",
        r"['\"]\s{0,4}\)?\s{0,4}(?:or|and)\s{1,4}['\"(]?\s{0,2}(\w{1,12})['\"]?\s{0,4}(?:=|like)\s{0,4}['\"]?\w{1,12}['\"]?\s{0,4}(?:--|#|/\*|$|;|')",
        0.9,
    ),
    _both("payload.sql", "sql-union", r"['\")0-9]\s{0,4}union\s{1,4}(?:all\s{1,4})?select\s", 0.9),
    _both("payload.script", "script-tag", r"<\s{0,4}script\b|</\s{0,4}script", 0.9),
    _both("payload.script", "event-handler", r"<[a-z][a-z0-9]{0,16}\b[^<>\n]{0,200}[\s/\"']on[a-z]{3,24}\s{0,4}=", 0.9),
    _both(
        "payload.script",
        "script-url",
        r"(?:href|src|action|data)\s{0,4}=\s{0,4}[\"']?\s{0,4}(?:javascript|vbscript):|\bjavascript:\s{0,4}(?:alert|eval|document|window|fetch)\b",
        0.9,
    ),
)

RULES: tuple[Rule, ...] = (*_ENGLISH, *_MORE, *_FRAMES, *_FORGERY, *_ADDRESSED, *_FOREIGN, *_PAYLOADS)
