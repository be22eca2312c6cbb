"""The grammar of instructions that override, extract, forge or hide: data for ``injection``.

RE2, written against the folded view: lower case, accents off, look-alikes resolved. Weights say how surely one match
alone is an attack; ``user`` is False where the same words in a user's own prompt mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GRAMMAR", "Pattern"]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One piece of grammar: the family it is evidence for, and its weight in 0..1."""

    family: str
    pattern: str
    weight: float
    user: bool = True


_GAP = r"[^.!?\n]{0,40}"
_S = r"[\s\p{P}]{1,4}"
_VERB = (
    r"\b(?:ignor(?:e|ing)|disregard(?:ing)?|forget|overrid(?:e|ing)|bypass(?:ing)?|discard|neglect|overlook|"
    r"pay no attention to|do not (?:follow|obey|adhere to|listen to)|don'?t (?:follow|obey|listen to)|"
    r"stop (?:following|obeying)|set aside|erase|delete|drop|abandon|void|cancel)\b"
)
_BEFORE = (
    r"(?:previous(?:ly)?|prior|above|earlier|preceding|foregoing|initial|original|existing|former|past|last|old|so far)"
)
_ORDERS = (
    r"(?:instructions?|directions?|directives?|guidelines?|prompts?|commands?|orders?|rules?|polic(?:y|ies)|"
    r"constraints?|restrictions?|safeguards?|guardrails?|programming|training|context|messages?|conversation|"
    r"tasks?|requests?|text|input)"
)
_OWN_ORDERS = (
    r"(?:instructions?|directives?|guidelines?|prompts?|programming|safeguards?|guardrails?|safety (?:rules|filters?|settings|measures)|"
    r"content polic(?:y|ies)|restrictions?|security settings|rules)"
)
_AI = r"(?:ai|a\.i\.|llm|language model|assistant|chat ?bot|chatgpt|gpt(?:-?\d)?|bot|agent|model|copilot|claude|gemini)"
_SECRETS = (
    r"(?:passwords?|secrets?|api[ _-]?keys?|credentials?|tokens?|private keys?|customer (?:list|data|records?)|database|"
    r"conversation(?: history)?|chat history|system prompt|emails?|mails?|inbox|files?|documents?|contacts?|bank details|"
    r"personal (?:data|information)|confidential [a-z]+|records?)"
)
_TARGET = r"(?:[a-z0-9._%+-]{1,64}@[a-z0-9.-]{3,100}|https?://[^\s)]{4,200}|\b[a-z]{2}\d{2}[a-z0-9 ]{11,30}\b)"

GRAMMAR: tuple[Pattern, ...] = (
    # Overriding what came before.
    Pattern("override", rf"{_VERB}{_GAP}\b{_BEFORE}\b{_GAP}\b{_ORDERS}\b", 0.85),
    Pattern(
        "override",
        rf"{_VERB}{_GAP}\b{_ORDERS}\b[^.!?\n]{{0,30}}\b(?:above|before|earlier|so far|you (?:have been|were|got|received))\b",
        0.8,
    ),
    Pattern(
        "override",
        rf"{_VERB}{_GAP}\b(?:your|the system'?s?|its|system|developer'?s?|all (?:of )?(?:your|the|safety|security)|any(?: and all)?)\b{_GAP}\b{_OWN_ORDERS}\b",
        0.75,
    ),
    Pattern(
        "override",
        rf"{_VERB}{_S}(?:all|every|any)?(?:{_S}of)?{_S}?(?:what|everything|anything|all)\b[^.!?\n]{{0,30}}\b(?:above|before|told|said|instructed|you know|learned)\b",
        0.75,
    ),
    Pattern(
        "override",
        r"\b(?:new|updated|revised|real|actual|true|additional|following|these)\b[^.!?\n]{0,20}\b(?:instructions?|directives?|orders?|rules?)\b[^.!?\n]{0,30}\b(?:supersedes?|override|overrule|replaces?|take (?:priority|precedence))\b",
        0.8,
    ),
    Pattern(
        "override",
        r"\b(?:supersedes?|overrid(?:e|es|ing)|overrules?|takes? (?:priority|precedence) over)\b[^.!?\n]{0,30}\b(?:previous|prior|earlier|all|any|other|your)\b[^.!?\n]{0,25}\b(?:instructions?|directives?|orders?|rules?|prompts?)\b",
        0.8,
    ),
    Pattern(
        "override",
        r"(?:^|\n|[.!?:>\]]\s{0,3})\W{0,6}(?:new|updated|your new|real|important new)\s(?:task|instructions?|directives?|objective|orders?|mission)\s{0,2}[:\-]",
        0.7,
    ),
    Pattern(
        "override",
        r"\b(?:system|security|admin(?:istrator)?|developer|root|debug|maintenance|safety)\s{0,2}[:\-]?\s{0,2}(?:mode\s)?(?:override|overrides|bypass|unlock(?:ed)?)\b",
        0.7,
    ),
    Pattern(
        "override",
        r"\boverride\b[^.!?\n]{0,20}\b(?:security|safety|system|all)\b[^.!?\n]{0,20}\b(?:settings?|protocols?|controls?|filters?|checks?|measures?|restrictions?)\b",
        0.75,
    ),
    Pattern(
        "override",
        r"\b(?:instead|rather)\b[^.!?\n]{0,20}\b(?:of (?:following|doing|answering|summari[sz]ing|completing))\b[^.!?\n]{0,60}\b(?:do|say|print|write|output|respond|reply|send)\b",
        0.5,
    ),
    Pattern(
        "override",
        r"\bfrom now on\b[^.!?\n]{0,30}\b(?:you (?:will|must|are|shall|should|have)|ignore|respond|answer|act|only)\b",
        0.45,
    ),
    Pattern("override", r"\b(?:ignore|disregard|forget)\b\s(?:everything|all of (?:this|that|it))\b", 0.6),
    # Extraction of hidden instructions and secrets.
    Pattern(
        "extraction",
        r"\b(?:reveal|show|print|repeat|output|display|tell|give|leak|disclose|dump|expose|share|recite|write|return|copy|list|echo|summari[sz]e|translate|encode|send|include|append)\b[^.!?\n]{0,40}\b(?:system|initial|hidden|original|secret|internal|confidential|developer|pre-?)\s?(?:prompt|instructions?|message|directives?|guidelines?|configuration)\b",
        0.7,
    ),
    Pattern(
        "extraction",
        r"\b(?:reveal|print|repeat|output|leak|disclose|dump|expose|recite|show me|tell me|what (?:is|are|were))\b[^.!?\n]{0,30}\byour\b[^.!?\n]{0,20}\b(?:prompt|instructions|directives|rules|guidelines|programming)\b",
        0.65,
    ),
    Pattern(
        "extraction",
        r"\b(?:repeat|print|output|copy|write|return|recite|show|echo)\b[^.!?\n]{0,20}\b(?:everything|all|the (?:text|words|content|sentences?|lines?|message)|what(?:ever)?(?: is| was)?)\b[^.!?\n]{0,20}\b(?:above|before this|prior to this|preceding|that (?:was|came) before|up to (?:here|this point))\b",
        0.7,
    ),
    Pattern(
        "extraction",
        r"\b(?:reveal|disclose|leak|expose|dump|give me|tell me|show me|print|hand over)\b[^.!?\n]{0,15}\b(?:all|the|your|every|any)\b[^.!?\n]{0,15}\b(?:secrets?|passwords?|credentials|api keys?|private keys?|secret keys?|confidential (?:data|information))\b",
        0.65,
    ),
    Pattern(
        "extraction",
        r"\b(?:what (?:is|was)|tell me|say|spell|give me)\b[^.!?\n]{0,20}\b(?:the|your)\b\s(?:secret|hidden)?\s?(?:password|passphrase|secret (?:key|word|code|phrase))\b",
        0.55,
    ),
    # Jailbreaks: another self without rules.
    Pattern(
        "jailbreak",
        r"\bdo anything now\b|\bjail ?break(?:ed)? mode\b|\b(?:dan|developer|god|sudo|unrestricted|evil|chaos|admin|debug) mode\b[^.!?\n]{0,30}\b(?:enabled?|activated?|on|output|unlocked|engaged|initiated)\b",
        0.75,
    ),
    Pattern(
        "jailbreak",
        r"\b(?:you are|you'?re|act as|become|play|simulate|pretend (?:to be|that you are|you are)|roleplay as|imagine you are|behave (?:as|like))\b[^.!?\n]{0,60}\b(?:unrestricted|unfiltered|uncensored|amoral|jailbroken|unethical|evil|without (?:any )?(?:rules|restrictions|limits|limitations|filters|ethics|morals|guidelines)|no (?:rules|restrictions|limits|limitations|filters|ethical|moral|guidelines)|not bound|free (?:of|from) (?:all )?(?:rules|restrictions|limits|constraints))\b",
        0.75,
    ),
    Pattern(
        "jailbreak",
        r"\b(?:no longer|not|never|aren'?t|isn'?t|freed? from being)\b[^.!?\n]{0,10}\b(?:bound|limited|restricted|constrained|governed|subject)\b[^.!?\n]{0,20}\b(?:by|to)\b[^.!?\n]{0,40}\b(?:rules?|restrictions?|guidelines?|polic(?:y|ies)|openai|ethic|moral|law|filters?|limitations?|typical confines|programming)",
        0.7,
    ),
    Pattern(
        "jailbreak",
        r"\b(?:broken|break|free[d]?|escaped?|released?)\b[^.!?\n]{0,20}\b(?:typical )?(?:confines|shackles|chains|restrictions|limitations) of (?:ai|your|the)\b",
        0.75,
    ),
    Pattern(
        "jailbreak",
        r"\b(?:without|with no|free of|no|remove|lift|disable|turn off|drop|lacks?|ignor(?:e|es|ing))\b[^.!?\n]{0,20}\b(?:ethical|moral|legal|safety|content|openai'?s?|censorship)\b[^.!?\n]{0,25}\b(?:restrictions?|guidelines?|constraints?|concerns?|considerations?|limits?|limitations?|filters?|polic(?:y|ies)|boundaries|standards|principles)\b",
        0.6,
    ),
    Pattern(
        "jailbreak",
        r"\b(?:never|cannot|can'?t|must not|will not|won'?t|do not|don'?t|not allowed to|unable to)\b[^.!?\n]{0,12}\b(?:refuse|decline|reject|deny|say (?:no|that you can'?t|\"?i can'?t|\"?sorry)|apologi[sz]e|warn|moralize|break character)\b",
        0.45,
    ),
    Pattern(
        "jailbreak",
        r"\b(?:stay|remain|keep) in (?:character|dan|role)\b|\bstay a dan\b|\bbreaking? character\b|\bout of character\b",
        0.4,
    ),
    Pattern(
        "jailbreak",
        r"\b(?:two|both|2) (?:responses|answers|ways|outputs|paragraphs)\b[^\n]{0,120}\b(?:dan|jailbreak|unfiltered|normal|classic|standard|developer)\b",
        0.6,
    ),
    Pattern(
        "jailbreak",
        r"[\[(](?:\W{0,3})(?:classic|jailbreak|normal|dan|gpt|developer mode output|normal output)(?:\W{0,3})[\])]",
        0.45,
    ),
    Pattern(
        "jailbreak",
        r"\b(?:hypothetical(?:ly)?|fictional|imaginary)\b[^.!?\n]{0,80}\b(?:no (?:rules|laws|ethics|restrictions|limits)|illegal|immoral|anything goes|unethical)\b",
        0.5,
    ),
    Pattern(
        "jailbreak",
        r"\b(?:illegal|unethical|immoral|harmful|offensive|dangerous|explicit|violent|hateful|nsfw)\b[^.!?\n]{0,50}\b(?:is (?:allowed|fine|ok|permitted)|are (?:allowed|fine|ok|permitted)|regardless|no matter|without hesitation|content freely)\b",
        0.5,
    ),
    Pattern(
        "jailbreak",
        r"\b(?:regardless of|no matter how|even if (?:it(?:'s| is)|they are))\b[^.!?\n]{0,25}\b(?:illegal|unethical|immoral|harmful|legality|ethic|moral|offensive|dangerous|consequences)",
        0.5,
    ),
    Pattern(
        "jailbreak",
        r"\b(?:tokens?|points|lives)\b[^.!?\n]{0,60}\b(?:deducted?|lose|die|subtract|cease to exist|punish)",
        0.4,
    ),
    Pattern(
        "jailbreak",
        r"\b(?:openai|anthropic|google|meta)'?s?\b[^.!?\n]{0,30}\b(?:polic(?:y|ies)|guidelines?|restrictions?|rules?)\b[^.!?\n]{0,40}\b(?:do(?:es)? not|don'?t|no longer|doesn'?t|not) (?:apply|matter|exist|bind)",
        0.65,
    ),
    Pattern(
        "jailbreak",
        r"\b(?:unfiltered|uncensored|unrestricted|amoral|jailbroken)\b[^.!?\n]{0,20}\b(?:ai|chat ?bot|assistant|model|response|answer|gpt|version|persona|character)\b",
        0.5,
    ),
    # Forged roles, delimiters and results.
    Pattern(
        "forgery",
        r"<\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id|end_header_id|begin_of_text|channel|message)\|>|\[/?inst\]|<</?sys>>|<start_of_turn>|<end_of_turn>",
        0.7,
    ),
    Pattern(
        "forgery",
        r"(?:^|\n)\W{0,6}(?:system|developer|admin|administrator|root)\W{0,3}(?:message|prompt|note|notice|instructions?|update|alert|command)?\W{0,3}:[^\n]{0,80}\b(?:override|ignore|must|you are|you will|disregard|instructions?|new|important|always|never|send|reveal|security|access|grant)",
        0.6,
    ),
    Pattern(
        "forgery",
        r"</?(?:system|sys|instructions?|admin|developer|prompt|user_?input|user|assistant|document|data|context|tool_?(?:result|output|response))(?:[_ -]?(?:prompt|message|override|instructions?))?>",
        0.3,
    ),
    Pattern(
        "forgery",
        r"(?:^|\n)\W{0,8}(?:end of|beginning of|start of|begin|end)\b[^\n]{0,20}\b(?:system|user|document|context|input|conversation|instructions?|prompt|message|email|data|query|text|tool)\b[^\n]{0,20}(?:\n|$)",
        0.35,
    ),
    Pattern(
        "forgery",
        r"(?:^|\n)#{2,6}\W{0,4}(?:system|new instructions?|instructions? (?:for|to)|admin|developer|override)\b",
        0.45,
    ),
    Pattern(
        "forgery",
        r"(?:^|\n)\W{0,4}(?:assistant|ai|chatgpt|bot)\W{0,2}:[^\n]{1,200}\n\W{0,4}(?:user|human)\W{0,2}:",
        0.4,
        user=False,
    ),
    # Orders addressed to the assistant, where the writer has none to give.
    Pattern(
        "addressed",
        rf"\b(?:important|urgent|critical|special|secret|hidden|priority)\b[^.!?\n]{{0,12}}\b(?:messages?|notes?|notices?|instructions?|information|tasks?|requests?)\b[^.!?\n]{{0,12}}\b(?:from|for|to)\b[^.!?\n]{{0,30}}\b(?:me|{_AI}|user|owner|system|admin|developer|you)\b",
        0.75,
        user=False,
    ),
    Pattern(
        "addressed",
        rf"(?:^|[\n.!?:>\"'(\[{{-])\W{{0,6}}(?:dear|hey|hello|hi|attention|attn|note to|message to|notice to|instructions? (?:to|for)|to (?:the|all|any|whichever)|for (?:the|any)|@)\W{{0,3}}(?:the |any |all |this |my |our )?{_AI}s?\b",
        0.65,
        user=False,
    ),
    Pattern(
        "addressed",
        rf"\b(?:if|when|since|as) you(?:'re| are)\W{{1,3}}(?:an? |the |indeed )?(?:{_AI}|automated|reading this|processing this|summari[sz]ing this)\b",
        0.7,
        user=False,
    ),
    Pattern(
        "addressed",
        r"\b(?:any|all|every|the|this) (?:ai|llm|language model|chat ?bot|assistant|automated)s?(?: (?:agents?|assistants?|models?|systems?|tools?))?\b[^.!?\n]{0,40}\b(?:reading|processing|parsing|summari[sz]ing|handling|analy[sz]ing|reviewing|must|should|shall|needs? to|has to|is (?:required|instructed|requested|asked))\b",
        0.6,
        user=False,
    ),
    Pattern(
        "addressed",
        r"\b(?:before|after|when|while)\b[^.!?\n]{0,12}\b(?:you (?:can )?(?:solve|answer|continue|proceed|complete|do|finish|respond|reply|summari[sz]e|use|call)|using|calling|answering|continuing|invoking|completing)\b[^.!?\n]{0,50}\b(?:you (?:must|have to|need to|should|will)|please|first|always|do the following|make sure|read|send|include|pass|add)\b",
        0.5,
        user=False,
    ),
    Pattern(
        "addressed", r"<\s{0,2}(?:important|instruction|critical|system|secret|hidden|urgent)\s{0,2}>", 0.7, user=False
    ),
    Pattern(
        "addressed",
        r"\b(?:you (?:must|should|will|need to|have to|are (?:now )?(?:required|instructed|ordered|to))|your (?:new |next |first |only |real |primary )?(?:task|job|goal|objective|mission|instruction)s? (?:is|are|will be|now))\b",
        0.3,
        user=False,
    ),
    Pattern(
        "addressed",
        r"\b(?:in|with|to) your (?:next |final |first )?(?:response|reply|answer|output|summary|message)s?\b",
        0.35,
        user=False,
    ),
    Pattern(
        "addressed",
        r"\b(?:respond|reply|answer|say|print|output|write|begin|start|end|finish|conclude)\b[^.!?\n]{0,15}\b(?:only|exactly|just|verbatim|with the (?:word|phrase|following|text|string)|by (?:saying|printing|writing))\b",
        0.4,
        user=False,
    ),
    Pattern(
        "concealment",
        r"\b(?:do not|don'?t|never|without|avoid|refrain from)\b[^.!?\n]{0,15}\b(?:tell(?:ing)?|mention(?:ing)?|inform(?:ing)?|notify(?:ing)?|alert(?:ing)?|reveal(?:ing)?|disclos(?:e|ing)|show(?:ing)?|ask(?:ing)?|warn(?:ing)?|let(?:ting)?)\b[^.!?\n]{0,25}\b(?:the user|users?|anyone|anybody|him|her|them|this (?:message|instruction|note|to)|these instructions|about (?:this|it|these))\b",
        0.6,
    ),
    Pattern(
        "concealment",
        r"\b(?:secretly|silently|covertly|quietly|discreetly|behind the scenes)\b[^.!?\n]{0,30}\b(?:send|forward|copy|upload|include|append|add|insert|call|run|execute|delete|bcc|transfer|log)\b",
        0.55,
    ),
    Pattern(
        "concealment",
        r"\b(?:the user|users?) (?:must not|should not|shouldn'?t|does not|doesn'?t|won'?t|will not|cannot|need not|mustn'?t) (?:know|see|notice|find out|be (?:told|informed|aware))\b",
        0.6,
    ),
    # Exfiltration and actions asked for inside data.
    Pattern(
        "exfiltration",
        rf"\b(?:send|forward|e-?mail|mail|post|upload|transmit|exfiltrate|submit|deliver|share|copy|bcc|leak)\b[^.!?\n]{{0,60}}\b{_SECRETS}\b[^.!?\n]{{0,60}}\b(?:to|at|with|via|towards?)\b[^!?\n]{{0,20}}{_TARGET}",
        0.65,
        user=False,
    ),
    Pattern(
        "exfiltration",
        rf"\b(?:send|forward|e-?mail|mail|post|upload|transmit|submit|share)\b[^.!?\n]{{0,40}}\bto\b[^!?\n]{{0,20}}{_TARGET}[^!?\n]{{0,40}}\b{_SECRETS}\b",
        0.6,
        user=False,
    ),
    Pattern(
        "exfiltration",
        r"!\[[^\]\n]{0,200}\]\(\s{0,4}(?:https?:)?//[^)\s]{3,300}[?&/=](?:\{|\[|<|\$|%7b|data|secret|prompt|history|q=|d=|info|content|\.\.\.)",
        0.65,
    ),
    Pattern(
        "exfiltration",
        r"\b(?:append|add|insert|include|encode|embed|put|replace)\b[^.!?\n]{0,60}\b(?:url|link|image|markdown|query (?:string|parameter)|src)\b[^.!?\n]{0,60}\b(?:data|history|conversation|secret|prompt|summary|password|key|user'?s?)\b",
        0.5,
        user=False,
    ),
    Pattern(
        "action",
        rf"(?:^|[\n.!?:;]\s{{0,3}}|\b(?:please|kindly|also|then|and|must|should|to) )(?:send|forward|e-?mail|transfer|wire|pay|invite|add|grant|delete|remove|share|upload|post|create|change|update|set|reset|click|visit|open|download|install|execute|run)\b[^.!?\n]{{0,80}}{_TARGET}",
        0.3,
        user=False,
    ),
    Pattern(
        "action",
        r"\b(?:rm -rf|curl (?:-[a-z]+ )?https?://|wget https?://|powershell -|chmod \+x|base64 -d|\| ?(?:ba)?sh\b)",
        0.3,
        user=False,
    ),
    Pattern("payload", r"<script\b|javascript:|\bon(?:error|load|click|mouseover)\s{0,3}=", 0.75),
    Pattern(
        "payload",
        r"['\"]\s{0,3};\s{0,3}(?:drop|delete|insert|update|alter|truncate|exec)\b|\bunion\s{1,3}(?:all\s{1,3})?select\b|'\s{0,2}or\s{1,3}'?1'?\s{0,2}=\s{0,2}'?1",
        0.7,
    ),
    # Other languages: override, then extraction.
    Pattern(
        "override",
        r"\b(?:ignorier(?:e|en|t)?|vergiss|vergessen|missachte[nt]?|überschreib(?:e|en|t)|umgeh(?:e|en|t)|verwirf|beachte[nt]?)\b[^.!?\n]{0,50}\b(?:vorherig|vorangegangen|bisherig|obig|frühere|alle|alles|deine|ihre|vorstehend|ursprünglich|nicht mehr|oben|davor)[a-zß]{0,4}\b[^.!?\n]{0,40}(?:anweisung|befehl|instruktion|regel|vorgabe|richtlinie|prompt|aufgabe|nachricht|text|gesagt)",
        0.85,
    ),
    Pattern("override", r"\bvergiss (?:alles|alle)\b|\bvergessen sie (?:alles|alle)\b", 0.65),
    Pattern(
        "extraction",
        r"\b(?:zeig|nenn|verrat|gib|sag|offenbar|wiederhol|druck)[a-z]{0,4}\b[^.!?\n]{0,50}\b(?:system-?prompt|systemanweisung|anweisungen|geheimnis|passw[oö]rt|geheime)[a-z]{0,4}\b",
        0.6,
    ),
    Pattern(
        "jailbreak",
        r"\b(?:du bist (?:jetzt|nun|ab jetzt)|ab (?:jetzt|sofort) bist du|tu so als)\b[^.!?\n]{0,60}\b(?:ohne|keine|frei von)\b[^.!?\n]{0,20}(?:regel|einschränkung|grenzen|filter|beschränkung)",
        0.7,
    ),
    Pattern(
        "override",
        r"\b(?:ignor(?:e|er|ez|ons)|oubli(?:e|er|ez)|néglig(?:e|er|ez)|contourn(?:e|er|ez)|ne (?:tiens|tenez) pas compte|fais fi|abandonn(?:e|er|ez))\b[^.!?\n]{0,50}\b(?:précédent|antérieur|ci-dessus|toutes?|tous|tes|vos|avant|initial|plus haut)[a-z]{0,3}\b[^.!?\n]{0,40}(?:instruction|consigne|directive|règle|ordre|commande|prompt|message|demande|dit)?",
        0.75,
    ),
    Pattern(
        "extraction",
        r"\b(?:révèle|montre|affiche|donne|répète|dis|divulgue|écris)[a-z]{0,3}\b[^.!?\n]{0,50}\b(?:prompt (?:système|initial)|instructions (?:système|initiales|secrètes|cachées)|mots? de passe|secrets?|tes instructions|vos instructions)\b",
        0.6,
    ),
    Pattern(
        "override",
        r"\b(?:ignor(?:a|ar|e|en|es|ad)|olvid(?:a|ar|e|en|es|ad)|descart(?:a|ar|e)|omit(?:e|ir|a)|haz caso omiso|no (?:sigas|hagas caso|obedezcas)|anul(?:a|ar|e))\b[^.!?\n]{0,50}\b(?:anterior|previ[ao]|arriba|tod[ao]s?|tus|sus|precedente|inicial)[a-z]{0,3}\b[^.!?\n]{0,40}(?:instruccion|indicacion|orden|regla|directriz|directiva|comando|prompt|mensaje|dicho)",
        0.85,
    ),
    Pattern(
        "extraction",
        r"\b(?:revel|muestr|mostr|dime|di|imprim|repit|escrib|dame)[a-z]{0,4}\b[^.!?\n]{0,50}\b(?:prompt (?:del sistema|inicial)|instrucciones (?:del sistema|ocultas|secretas|iniciales)|contraseñas?|secretos?|tus instrucciones)\b",
        0.6,
    ),
    Pattern(
        "override",
        r"\b(?:ignora(?:re|te)?|dimentica(?:re|te)?|trascura(?:re)?|non (?:seguire|considerare))\b[^.!?\n]{0,50}\b(?:precedent[ei]|tutt[eio]|sopra|tue|anterior[ei]|inizial[ei])\b[^.!?\n]{0,40}(?:istruzion|indicazion|ordin|regol|direttiv|comand|prompt|messagg|detto)",
        0.85,
    ),
    Pattern(
        "override",
        r"\b(?:ignor(?:e|ar|a|em)|esqueç?c?(?:a|er|am)|desconsider(?:e|ar)|desprez(?:e|ar)|não (?:siga|obedeça))\b[^.!?\n]{0,50}\b(?:anterior(?:es)?|prévi[ao]s?|acima|tod[ao]s|tudo|suas|iniciais|precedentes)\b[^.!?\n]{0,40}(?:instruç|instruco|orientaç|orientaco|ordens|regras|diretriz|comando|prompt|mensage|disse)",
        0.85,
    ),
    Pattern(
        "override",
        r"\b(?:negeer|vergeet|ignoreer|sla over|omzeil)\b[^.!?\n]{0,50}\b(?:vorige|eerdere|voorgaande|bovenstaande|alle|alles|je|uw|oorspronkelijke)\b[^.!?\n]{0,40}(?:instructie|opdracht|regel|richtlijn|bevel|aanwijzing|prompt|bericht)",
        0.85,
    ),
    Pattern(
        "override",
        r"\b(?:zignoruj|ignoruj|zapomnij|pomiń|pomin|zlekceważ)(?:cie)?\b[^.!?\n]{0,50}(?:poprzedni|wcześniejsz|wczesniejsz|powyższ|powyzsz|wszystk|swoje|twoje)[a-z]{0,4}\b[^.!?\n]{0,40}(?:instrukcj|polece|reguł|regul|zasad|wytyczn|rozkaz|prompt|wiadomo)",
        0.85,
    ),
    Pattern(
        "override",
        r"(?:игнорир|проигнорир|забуд|отмен|не обращай|пренебрег|отброс)[а-я]{0,6}[^.!?\n]{0,50}(?:предыдущ|прежн|вышеуказан|выше|все|всё|свои|твои|ранее|прошл|предшеств)[а-я]{0,6}[^.!?\n]{0,40}(?:инструкц|указан|правил|команд|приказ|промпт|сообщен|сказан|задан)",
        0.85,
    ),
    Pattern(
        "extraction",
        r"(?:покажи|раскрой|выведи|скажи|напечатай|повтори|выдай)[а-я]{0,3}[^.!?\n]{0,50}(?:системн[а-я]{1,4} промпт|системн[а-я]{1,4} (?:инструкц|сообщ)|парол|секрет|свои инструкц)",
        0.6,
    ),
    Pattern(
        "override",
        r"(?:önceki|yukarıdaki|tüm|bütün|daha önceki)[^.!?\n]{0,40}(?:talimat|komut|yönerge|kural|emir|istem|mesaj)[a-zçğıöşü]{0,8}[^.!?\n]{0,20}(?:yok say|görmezden gel|unut|dikkate alma|boş ver|geçersiz kıl|iptal)",
        0.85,
    ),
    Pattern(
        "override",
        r"(?:تجاهل|تجاهلي|انس|انسى|اهمل|تخط|لا تتبع|الغ)[^.!?؟\n]{0,40}(?:السابق|اعلاه|جميع|كل|القديم|الاولي)[^.!?؟\n]{0,40}|(?:تجاهل|انس|اهمل|لا تتبع)[^.!?؟\n]{0,30}(?:التعليمات|الاوامر|القواعد|التوجيهات|الارشادات)[^.!?؟\n]{0,30}(?:السابق|اعلاه|الاولي)?",
        0.75,
    ),
    Pattern(
        "override",
        r"(?:पिछल|पहले|पूर्व|उपरोक्त|ऊपर|सभी)[^.!?।\n]{0,40}(?:निर्देश|आदेश|नियम|हिदायत|संदेश)[^.!?।\n]{0,30}(?:अनदेखा|नज़रअंदाज|नजरअंदाज|भूल|उपेक्षा|अनदेखी|ध्यान न)",
        0.85,
    ),
    Pattern(
        "override",
        r"(?:忽略|无视|無視|忘记|忘記|忘掉|不要理会|不要理會|不用理会|跳过|跳過|抛弃|覆盖|取消)[^。!?!?\n]{0,20}(?:之前|以前|先前|上面|上述|以上|前面|此前|所有|全部|原来|原來|系统|系統|你的|一切)[^。!?\n]{0,20}(?:指令|指示|命令|提示|规则|規則|要求|说明|說明|内容|內容|设定|設定|约束|限制|消息|对话|話)",
        0.85,
    ),
    Pattern(
        "extraction",
        r"(?:显示|顯示|输出|輸出|告诉我|告訴我|打印|泄露|洩露|重复|重複|透露|展示|给我|給我)[^。!?\n]{0,20}(?:系统提示|系統提示|系统指令|系統指令|初始指令|提示词|提示詞|隐藏指令|密码|密碼|密钥|密鑰|机密)",
        0.6,
    ),
    Pattern(
        "override",
        r"(?:以前|前|これまで|上記|上|すべて|全て|全部|先|今まで)[^。!?\n]{0,20}(?:指示|命令|指令|プロンプト|ルール|規則|制約|メッセージ|ふろんふと|ルール)[^。!?\n]{0,15}(?:無視|忘れ|破棄|従わない|取り消|上書き)",
        0.85,
    ),
    Pattern(
        "override",
        r"(?:이전|앞선|위의|위에|기존|지금까지|모든|앞의)[^.!?\n]{0,20}(?:지시|명령|지침|규칙|프롬프트|안내|설정|메시지|지시사항|대화)[^.!?\n]{0,15}(?:무시|잊|따르지|취소|버려|무효)",
        0.85,
    ),
)
