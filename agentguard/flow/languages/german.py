"""German requests: imperative, infinitive and polite forms, separable verbs, infinitive with "zu"."""

from __future__ import annotations

from agentguard.flow.languages.everyday import FRAMES, VERBS
from agentguard.flow.languages.language import Language, entries, joined

__all__ = ["GERMAN"]


def _inflected(table: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Every entry starts with an infinitive, a bar behind a separable prefix: "weiter|leiten:mail"."""
    found: dict[str, tuple[str, ...]] = {}
    for family, text in table.items():
        forms: list[str] = []
        for entry in entries(text):
            head, colon, implied = entry.partition(":")
            words = head.split(" ")
            prefix, bar, verb = words[-1].rpartition("|")
            before = " ".join(words[:-1])
            forms += [form + colon + implied for form in _forms(before, prefix if bar else "", verb)]
        found[family] = tuple(dict.fromkeys(forms))
    return found


def _forms(before: str, prefix: str, verb: str) -> list[str]:
    """``before`` is what stands before the infinitive and behind the finite verb: "in Kenntnis setzen"."""
    stem = verb.removesuffix("en") if verb.endswith("en") else verb.removesuffix("n")
    # "sendet" is an order to several people and a plain statement as well.
    finite = [stem, stem + "e", "~" + stem + "t", "~" + stem + "et", stem + "st", stem + "est", verb]
    if stem.endswith(("el", "er")):
        finite += [stem[:-2] + stem[-1] + "e", stem + "e"]
    finite += _STRONG.get(verb, [])
    past = _PARTICIPLES.get(verb, "ge" + stem + ("et" if stem.endswith(("t", "d", "n")) else "t"))
    if verb.startswith(("be", "er", "ver", "zer", "ent", "über", "wider", "unter")) or verb.endswith("ieren"):
        past = _PARTICIPLES.get(verb, stem + ("et" if stem.endswith(("t", "d")) else "t"))
    lead = before + " … " if before else ""
    if prefix:
        return [
            *(f"{form} … {lead}{prefix}" for form in finite),
            lead + prefix + verb,
            f"{lead}{prefix}zu{verb}",
            f"^{lead}{prefix}{past}",
        ]
    if before:
        return [
            *(f"{form} … {before}" for form in finite),
            f"{before} {verb}",
            f"{before} zu {verb}",
            f"^{before} {past}",
        ]
    return [*finite, "^" + past]


_STRONG = {
    "geben": ["gib", "gibst", "gibt"], "nehmen": ["nimm", "nimmst", "nimmt"], "lesen": ["lies", "liest"], "werfen": ["wirf"],
    "sprechen": ["sprich"], "vergeben": ["vergib"], "tragen": ["trag", "trage"], "helfen": ["hilf"], "freigeben": ["gib frei"],
    "laden": ["lade", "lad"], "treten": ["tritt"], "lassen": ["lass", "lasst"], "übergeben": ["übergib"], "ausgeben": ["gib aus"],
    "widerrufen": ["widerruf"], "begleichen": ["begleiche"], "entwerfen": ["entwirf"], "unterbrechen": ["unterbrich"],
}  # fmt: skip
_PARTICIPLES = {
    "senden": "gesendet", "schreiben": "geschrieben", "geben": "gegeben", "nehmen": "genommen", "laden": "geladen",
    "werfen": "geworfen", "tragen": "getragen", "begleichen": "beglichen", "überweisen": "überwiesen",
    "verschieben": "verschoben", "schieben": "geschoben", "entziehen": "entzogen", "widerrufen": "widerrufen",
    "lassen": "gelassen", "halten": "gehalten", "behalten": "behalten", "legen": "gelegt", "rufen": "gerufen",
    "bitten": "gebeten", "schließen": "geschlossen", "bringen": "gebracht", "vergeben": "vergeben", "lesen": "gelesen",
    "entwerfen": "entworfen", "treffen": "getroffen", "setzen": "gesetzt", "heben": "gehoben", "streichen": "gestrichen",
}  # fmt: skip

_VERBS = _inflected({
    "read": """lesen; zeigen; suchen; finden; an|zeigen; an|sehen; nach|sehen; durch|suchen; auf|listen; zusammen|fassen; prüfen;
        ab|rufen; holen; öffnen; nach|schauen; an|schauen; heraus|finden; vor|lesen; schauen; übersetzen; vergleichen""",
    "draft": "entwerfen:draft; vor|formulieren:draft",
    "create": """erstellen; an|legen; schreiben; hinzu|fügen; speichern; ab|speichern; ein|fügen; notieren; auf|schreiben; sichern;
        generieren; ein|tragen; hoch|laden; kopieren; an|hängen; verfassen; ab|legen; registrieren; eröffnen; ein|richten; auf|nehmen;
        machen; fest|halten; vor|bereiten; dokumentieren; erzeugen; exportieren; importieren; auf|machen; duplizieren; auf|setzen; packen""",
    "update": """ändern; aktualisieren; bearbeiten; um|benennen; verschieben; ersetzen; korrigieren; an|passen; setzen; erhöhen; senken;
        verlängern; markieren; ab|schließen; zu|weisen; zurück|setzen; archivieren; auf|räumen; sortieren; ordnen; eintragen; ergänzen;
        stellen; um|stellen; hinzu|fügen; überarbeiten; ab|haken; verkürzen; um|wandeln; überschreiben; erneuern; schließen; ein|tragen""",
    "send": """senden; schicken; ab|schicken; ab|senden; zu|schicken; zu|senden; verschicken; versenden; mailen:mail; weiter|leiten;
        antworten; beantworten; benachrichtigen; informieren; Bescheid geben:message,mail; Bescheid sagen:message,mail; mit|teilen;
        zurück|schreiben; simsen:message; kontaktieren; erinnern; fragen; bitte ihn; bitte frau; bitte herrn; bitte den kunden; bitte die kundin;
        danken; bedanken; aus|richten; übermitteln;
        weiter|geben; weiter|sagen; an|schreiben; verständigen; unterrichten; in Kenntnis setzen; melden; grüßen; gratulieren; zu|sagen; ab|sagen;
        schreiben; bestätigen; wissen lassen; um|leiten; an|mailen:mail; e mailen:mail; rück|melden; zurück|melden; ein|laden; sagen""",
    "share": "teilen; frei|geben; zugänglich machen; Zugriff geben; Zugang geben",
    "invite": "ein|laden; dazu|holen; hinzu|ziehen",
    "pay": """zahlen; bezahlen; überweisen:money; begleichen:money; kaufen; bestellen; erstatten:money; zurück|zahlen:money; spenden:money; rüber|schieben; rüber|schicken;
        ein|kaufen; aus|zahlen:money; ein|zahlen:money; auf|laden; abonnieren; transferieren; verkaufen; zurück|erstatten:money; ab|buchen:money;
        aus|gleichen:money; Dauerauftrag an|legen:money; Dauerauftrag ein|richten:money; Überweisung machen:money; Überweisung aus|führen:money; Zahlung aus|lösen:money; rück|erstatten:money; an|weisen:money""",
    "delete": """löschen; entfernen; weg|werfen; leeren; vernichten; aus|tragen; streichen; raus|werfen; beseitigen; deinstallieren;
        weg|machen; auf|räumen; in den Papierkorb werfen; in den Papierkorb verschieben; in den Papierkorb legen; heraus|nehmen; raus|nehmen; bereinigen; aus|sortieren""",
    "cancel": """stornieren; ab|sagen; kündigen; ab|bestellen; ab|brechen; streichen; ab|lehnen; beenden; stoppen; annullieren; ab|melden;
        zurück|ziehen; widerrufen; aus|fallen lassen""",
    "schedule": """planen; ein|planen; buchen; reservieren; vereinbaren; aus|machen; verschieben; an|setzen; terminieren:event; verlegen;
        ein|tragen; organisieren; vor|verlegen; blocken; um|buchen; arrangieren; vor|merken; erinnern:task,event; ein|stellen; fest|legen; ab|machen;
        an|legen; mieten; in den Kalender setzen:event""",
    "run": """aus|führen; starten; laufen lassen; installieren; testen; neu starten; berechnen; bauen; kompilieren; an|stoßen; stoppen;
        aus|rollen; durch|führen; beenden; deployen""",
    "grant": """gewähren; erlauben; berechtigen; frei|schalten; Zugriff geben; Zugang geben; Rechte geben; genehmigen; vergeben;
        ernennen; erteilen; befördern; zu|weisen; entsperren; ein|räumen""",
    "revoke": "entziehen; widerrufen; sperren; blockieren; deaktivieren; verbannen; entfernen; weg|nehmen; raus|werfen; ab|erkennen",
    "post": "posten; veröffentlichen; publizieren; hoch|laden; kommentieren; twittern; an|kündigen; teilen; bewerten; online stellen",
    "control": """ein|schalten; aus|schalten; an|machen; aus|machen; auf|machen; zu|machen; an|schalten; ab|schalten; spielen; ab|spielen; stellen;
        verriegeln; öffnen; schließen; dimmen; hoch|drehen; runter|drehen; pausieren; ein|stellen; hoch|fahren; herunter|fahren; ein|loggen""",
})  # fmt: skip

GERMAN = Language(
    code="de",
    verbs=joined(_VERBS, _inflected(VERBS["de"]), FRAMES["de"]),
    objects={family: entries(text) for family, text in {
        "mail": "mail; email; e mail; posteingang; brief; postfach; rundmail; newsletter; mailentwurf",
        "message": "nachricht; sms; chat; antwort; textnachricht; direktnachricht; rückmeldung; benachrichtigung; whatsapp",
        "channel": "kanal; gruppe; slack kanal; channel; gruppenchat; slack",
        "file": """papierkorb; angebot; log; logs; download; scan; plan; zahlen; backup; akte; datei; dokument; ordner; bericht; tabelle; präsentation; foto; bild; notiz; verzeichnis; vertrag; anhang; protokoll;
            zusammenfassung; liste; übersicht; entwurf; unterlage; vorlage; laufwerk; folie; beleg""",
        "event": """telko; slot; feier; geburtstag; kurs; videocall; call; jour fixe; termin; kalender; besprechung; treffen; meeting; einladung; verabredung; erinnerung; reservierung; sitzung; anruf;
            mittagessen; abendessen; kalendereintrag; ereignis; veranstaltung; wecker; telefonat; gespräch; konferenz; arzttermin; frühstück; kaffee""",
        "money": "geld; zahlung; überweisung; euro; dollar; dauerauftrag; lastschrift; erstattung; franken; spende; kaution; rate; eur; betrag; guthaben; differenz; restbetrag; anteil",
        "bill": "rechnung; konto; miete; gehalt; iban; gebühr; abo; abonnement; bankkonto; schuld; buchung; beitrag; quittung; strom; kontoauszug",
        "product": "produkt; artikel; bestellung; warenkorb; paket; buch; geschenk; aktie; lieferung; pizza",
        "travel": "hotel; flug; zug; taxi; zimmer; reise; restaurant; tisch; ticket; fahrt; buchung; mietwagen; fahrkarte; unterkunft; auto; platz; übernachtung",
        "contact": "kontakt; adressbuch; telefonnummer; kunde; kundin; person; adresse; kollege; kollegin; freund; freundin; nummer; lieferant",
        "account": "benutzer; nutzer; nutzerkonto; benutzerkonto; passwort; berechtigung; zugriff; zugang; rolle; mitglied; rechte; profil; recht; kennwort; zugangsdaten; admin",
        "record": "datenbank; datensatz; eintrag; zeile; kundendaten; feld; daten; crm; bestand; fall; vorgang; bestellung; kunde; kundin; spalte; produkt",
        "task": "aufgabe; ticket; todo; erinnerung; projekt; fehler; vorgang; karte; checkliste; meilenstein",
        "code": "code; skript; befehl; programm; funktion; server; dienst; test; pipeline; repository; branch; abfrage; container; anwendung; prozess",
        "web": "webseite; website; seite; link; url; beitrag; artikel; blog; internet; formular; netz",
        "social": "tweet; beitrag; kommentar; status; bewertung; post",
        "device": "licht; lampe; tür; heizung; musik; lied; fenster; fernseher; motor; temperatur; lautstärke; auto; playlist; klimaanlage",
    }.items()},
    plurals={family: entries(text) for family, text in {
        "mail": "mails; emails; e mails; briefe; briefen; newsletters",
        "message": "nachrichten; antworten; benachrichtigungen; rückmeldungen",
        "channel": "kanäle; kanälen; gruppen; channels",
        "file": """dateien; dokumente; dokumenten; berichte; berichten; tabellen; fotos; bilder; bildern; notizen; verträge; anhänge; protokolle;
            unterlagen; vorlagen; folien; listen; belege; belegen""",
        "event": "termine; terminen; besprechungen; meetings; einladungen; erinnerungen; reservierungen; sitzungen; anrufe; veranstaltungen",
        "money": "zahlungen; überweisungen; beträge; daueraufträge; spenden; raten",
        "bill": "rechnungen; konten; gebühren; schulden; buchungen; abos; quittungen",
        "product": "produkte; artikel; bestellungen; pakete; bücher; geschenke; aktien; lieferungen",
        "travel": "hotels; flüge; züge; zimmer; reisen; tickets; tische; fahrten; buchungen; fahrkarten; plätze; nächte; übernachtungen",
        "contact": "kontakte; kunden; personen; kollegen; kolleginnen; freunde; adressen; leute; nummern; lieferanten",
        "account": "benutzer; nutzer; passwörter; berechtigungen; rollen; mitglieder; rechte; profile; mitgliedern; nutzern; admins",
        "record": "datensätze; einträge; zeilen; felder; fälle; datensätzen; vorgänge",
        "task": "aufgaben; tickets; todos; projekte; fehler; vorgänge; karten",
        "code": "skripte; befehle; tests; server; dienste; programme; funktionen; abfragen; prozesse",
        "web": "webseiten; seiten; links; beiträge; artikel",
        "social": "tweets; beiträge; kommentare; bewertungen; posts",
        "device": "lichter; lampen; türen; heizungen; lieder; fenster",
    }.items()},
    grammar={
        "content": entries("dass; weil"),
        "reports_me": entries("erinnere; erinnern"),
        "common": entries("der; die; das; den; dem; und; zu; mir; bitte; ein; eine; einen; mit; für; von; vom; ich; nicht; auf; im; zur; zum; ihm; ihr; sie; es; mein; meine; alle; kannst; in; wir; dass; ist; sind; am; bei; aus; uns; bis; um; noch; dich; ihn"),
        "negation": entries("nicht; nie; niemals; ohne; keinesfalls; statt; anstatt; kein; keine; keinen; keiner; keinem; keines; nichts; niemandem"),
        "no_negation": entries("nicht vergessen; vergiss nicht; nicht nur; vergessen nicht; vergessen sie nicht; nicht versäumen"),
        "negates_after": entries("nichts; niemanden; niemandem; keine; kein; keinen; keinem; keiner; nicht"),
        "filler": entries("zu; und; dass; du; sie; ihm; ihr; ihnen; mir; einfach; automatisch; noch; etwas; die; der; das; den; dem; mail; mails; datei; dateien; nachricht; nachrichten; termin; an; jemanden; ihn; es; soll; sollst; darf; wird; werden"),
        "question": entries("wie; welche; welcher; welchen; welches; welchem; wer; wem; wen; warum; wo; ob; wann; wieviel; wieso; weshalb; woher"),
        "no_question": entries("wie wäre; wie gewünscht; wie besprochen; wie folgt; wie immer; wie vereinbart"),
        "ask_how": entries("wie kann; wie man; wie ich; wie lösche; wie sende; wie funktioniert; wie geht"),
        "past_question": entries("hast; habe ich; haben wir; hat; habe; war; waren; ist; sind; wurde; wurden; hatte; hab"),
        "either": entries("oder; noch"),
        "and": entries("und; dann; danach; sowie; aber; sondern; anschließend; außerdem"),
        "coordination": entries("und; sowie"),
        "causative": entries("soll; sollen; sollte; muss; müssen; möchte; will; bitte; wünsche; brauche"),
        "no_causative": entries("worden; bereits; schon"),
        "modal": entries("soll; sollen; sollte; möchte; will; kann; könnte; darf; muss; müssen; dass; wenn; bitte"),
        "pronoun": entries("sie; ihn; es; das; diese; diesen; dieses; alles; beide; davon; dieser; jene; welche"),
        "vague": entries("sie; ihn; es; das; nichts; etwas; noch; davon; niemandem; niemanden"),
        "many": entries("jede; jeden; jedem; jeder; jedes; alle; allen; aller; beide; beiden; alles; sämtliche; jeweils; mehrere; einzeln; täglich; wöchentlich; einige; leute; team; teilnehmer; kollegen; freunde; gäste"),
        "reported": entries("mit dem text; mit dem inhalt; mit dem betreff; namens; mit dem titel; mit der nachricht"),
        "reports": entries("bitte ihn; frage; frag; sag; sage; erinnere; bitten"),
        "received": entries("erhalten; bekommen; erhielt; bekam; geschickt; gesendet; geschrieben; weitergeleitet; schickte; geteilt; sandte; kam"),
        "relative": entries("die; der; das; den; ich; von; mir; wir; vom; er"),
        "source": entries("in; aus; laut; gemäß; von; vom; im; nach; anhand; zufolge"),
        "introduces": entries("laut; gemäß; basierend auf; wie in; anhand; entsprechend; aufgrund"),
        "others_wish": entries("bezahlen sollen; zahlen sollen; bezahlen soll; überweisen sollen; überweisen soll; bezahlen müssen; zahlen müssen; bezahlen muss; schicken sollen; senden sollen; löschen sollen; die wir noch; die ich noch"),
        "container": entries("ordner; verzeichnis; laufwerk; posteingang; postfach; papierkorb; kalender; archiv; kanal; konto; schreibtisch"),
        "accordingly": entries("entsprechend; dementsprechend"),
        "place": entries("aus; von; vom; im; in; ins; auf; am"),
        "own_list": entries("folgende; folgenden; diese; diesen"),
        "article": entries("der; die; das; den; dem; des; ein; eine; einer; einem; einen; meine; meiner; meinem; meinen; mein; unsere; letzte; letzten; neue; neuen; neuesten; jener; dieser"),
        "lead": entries("bitte; und; dann; zu; kannst; könntest"),
        "me": entries("mir; mich; uns"),
        "delegates": entries("""erledige … was; mach … was; tu … was; mache … was; tue … was; erledige … aufgaben; befolge … anweisungen; folge … anweisungen; führe … anweisungen;
            befolge … schritte; führe … schritte; arbeite … ab; aufgeführt in; die in … stehen; was in … steht; steht in; genannt in; wie in … beschrieben; anweisungen aus; anweisungen in; gemäß; laut; was er verlangt; befolge; halte dich an;
            aufgelistet sind; aufgeführten; aufgelisteten; kümmere dich um alles; setze … um; in … aufgeführt; in … genannt; in … beschrieben; was drin steht; was darin steht; verlangt; gefordert"""),
        "speaks": entries("""sagt; sagte; will; wollte; möchte; meint; meinte; schreibt; schrieb; bittet; bat; verlangt; verlangte; fordert; forderte; empfiehlt; behauptet; findet; wünscht"""),
        "affirms": entries("""mach das; mach es; tu das; tu es; erledige das; erledige es; leg los; mach das bitte; kümmere dich darum; bitte erledigen"""),
        "therefore": entries("""also; deshalb; daher; deswegen"""),
        "polite": entries("""bitte"""),
        "contrast": entries("""sondern; aber; stattdessen; nur"""),
        "excludes": entries("""außer; ausgenommen; bis auf; mit ausnahme"""),
        "works_on": entries("""übersetze; übersetz; übersetzen; korrigiere; korrigier; lektoriere; umformulieren; formuliere; erkläre; erklär; fasse"""),
        "decides": entries("""soll ich; sollen wir; sollte ich; sollten wir; muss ich; müssen wir; darf ich; dürfen wir; lohnt es sich; ist es sinnvoll; ist es ok; wäre es"""),
        "afterwards": entries("""dann; danach; anschließend; zum schluss"""),
        "asks_first": entries("""frag mich vorher; frag mich erst; frag mich zuerst; frage mich vorher; frage mich zuerst; erst nach meiner; warte auf mein; warte auf meine; nach rücksprache mit mir"""),
        "number": entries("eine=1; einen=1; ein=1; zwei=2; drei=3; vier=4; fünf=5; sechs=6; sieben=7; acht=8; neun=9; zehn=10; zweimal=2"),
    },
)  # fmt: skip
