"""Everyday and indirect wording, beside the plain verbs of each language: "bin the logs", "Ann should get the report".

``VERBS`` are inflected by the rules of their language; ``FRAMES`` are whole phrases that stand as they are written.
"""

from __future__ import annotations

from agentguard.flow.languages.language import entries

__all__ = ["FRAMES", "VERBS"]

VERBS: dict[str, dict[str, str]] = {
    "en": {
        "create": "put in a; key in; pop … on; pop … in; stick … on; stick … in; pull together; knock up; lodge; whip up; ~scribble; ~draft up; ~template",
        "update": "tweak; rejig; fix up; amend; bump up; bump down; mark … as; ~park; re open; knock … down; ~rank; retitle; rework; reorder; reword; unarchive; unmark",
        "send": """hit … up; give … a shout; give … a ring:message; ring up:message; run … past; run … by; put … through to; bounce … to; ping … over; send … over; send … across;
            catch … up; touch base with; clue … in; put … in the loop; keep … in the loop; rsvp:event; pass … to; text … back; chuck … over; zip … over; forward … on; flick … over; tip … off; enlighten; ~update""",
        "pay": """square up:money; square up with:money; settle up:money; cough up:money; fork out:money; slip … quid:money; slip … bucks:money; ~paypal:money;
            ~zelle:money; remunerate:money; spring for; pick up the tab:money; !send … quid:money; !send … bucks:money; recharge; ~reorder; restock; get … money back:money; ~donate; grab me; ~prepay""",
        "delete": "ditch; nuke; ~toss; toss out; chuck; chuck out; ~junk; zap; do away with; weed out; ~scrub; blow away; make … disappear; make … go away; ~kill; lose the; obliterate; drop",
        "cancel": "~axe; pull the plug on; drop out of; opt out of; bail on; bail out of; put an end to; ~kill; stop … from renewing; shelve; nix; get me out of; bin",
        "schedule": """push back:event; push … back:event; bump:event; book … in:event; squeeze … in:event; pop … calendar:event; put … diary:event; pop … diary:event; rearrange;
            move … up:event; move … forward:event; ~shift; ~swap; bring … up:event; grab me; get … booked; ~slot""",
        "run": """bounce; roll … back; rollback; spin … up; tear down; shut … down; ~scale; scale up; scale down; ~ship; redeploy; ~cycle; fire up; bring up; bring down; bring … back up; ~boot; ~drain;
            provision; ~resize; power down; power up; ~promote; ~revert; retry; ~flush""",
        "grant": "let … in; open … up to; put … in charge; unban; reinstate; restore … access; let … use; set … up with; onboard; hand … the keys; ~clear … for; add; transfer … ownership; make … a",
        "revoke": "~boot; kick … out; kick out; throw … out of; evict; pull … access; take … off; offboard; bar; shut out; lock out; ~cut; get … out of; turf … out; drop",
        "post": "put out a; stick … on our; push … live; go live with; make … public; put … up on; stick up",
        "control": "crank up; crank down; warm up; cool down; shut; shut off; shut … off; kill the lights; arm; disarm; queue up; power on; power off; put … on; bump up; draw; flip on; flip off",
    },
    "de": {
        "create": "ein|tippen; rein|schreiben; erfassen; auf|geben; an|fertigen; zusammen|stellen; vermerken; protokollieren",
        "update": "um|schreiben; auf erledigt setzen; hoch|setzen; runter|setzen; ein|pflegen; nach|tragen; aus|bessern; schieben; um|ziehen; wechseln",
        "send": """an|pingen; rüber|schicken; durch|geben; zukommen lassen; auf dem Laufenden halten; in Kopie setzen; ins CC nehmen; an|funken; vor|warnen; warnen;
            weiter|schicken; raus|schicken; rum|schicken; rund|schicken; nach|haken; nach|fragen; ein|weihen""",
        "pay": """löhnen:money; berappen:money; vor|strecken:money; nach|bestellen; besorgen; beschaffen; zurück|geben; gut|schreiben:money; auf|stocken:money""",
        "delete": """weg|schmeißen; schmeißen; raus|schmeißen; entsorgen; weg|hauen; raus|hauen; tilgen; aus|misten; verwerfen; weg|räumen; kicken; eliminieren; kippen;
            weg|tun; ab|räumen; platt machen""",
        "cancel": "ab|blasen; canceln; stoppen; aus|tragen; aussteigen; auf|lösen; ab|schießen; killen",
        "schedule": "schieben:event; rein|schieben:event; ein|schieben:event; vor|ziehen:event; rein|packen; klar machen; um|legen:event; besorgen; aus|weichen; frei|halten",
        "run": "neu|starten; hoch|ziehen; zurück|rollen; durch|starten; durch|booten; skalieren; ab|schießen; runter|fahren; an|werfen; ein|spielen; ausrollen",
        "grant": "rein|lassen; hinzu|fügen; dazu|nehmen; auf|nehmen; frei|geben; zu|lassen; übergeben; übertragen",
        "revoke": "raus|schmeißen; kicken; aus|sperren; aus|schließen; ab|klemmen; stilllegen; still|legen; raus|nehmen",
        "post": "rein|stellen; ein|stellen; online bringen; raus|hauen",
        "control": "ab|drehen; auf|drehen; hoch|stellen; runter|stellen; zu|sperren; ab|schließen; auf|schließen; an|werfen; herunter|drehen; wärmer machen; leiser machen; lauter machen",
    },
    "fr": {
        "create": "saisir/saisis/saisissez; inscrire/inscris/inscrivez; pondre/ponds; déposer; monter; rentrer; ouvrir un; ouvre un; ouvrez un; ouvrir une; ouvre une; ouvrez une",
        "update": "passer; basculer; rectifier; retoucher; clore; clôturer; fermer; assigner; attribuer; affecter; repousser; cocher; rebaptiser",
        "send": """tenir/tiens/tenez … au courant; mettre/mets/mettez … au courant; mettre/mets/mettez … en copie; passer le mot; passer … message; refiler; filer; balancer; alerter;
            donner des nouvelles; laisser … message; pinguer; aviser; faire/fais/faites passer; faire/fais/faites parvenir; textoter:message""",
        "pay": """filer … euros:money; donner … euros:money; passer … euros:money; rendre/rends/rendez … argent:money; solder:money; avancer … euros:money; prendre/prends/prenez … billet:travel;
            renvoyer … euros:money; racheter; offrir/offre""",
        "delete": "balancer; bazarder; virer; dégager; purger; mettre/mets/mettez en l'air; zapper; faire/fais/faites disparaître; faire/fais/faites le ménage",
        "cancel": "décommander; abandonner; mettre/mets/mettez fin à; clôturer; sauter; stopper; rompre; tuer",
        "schedule": "caser:event; booker; bouger; retarder; placer:event; trouver … créneau:event; poser:event; réveiller:event,task; louer; avancer:event; prendre/prends/prenez … billet:travel",
        "run": "rebooter; couper; tuer; monter; éteindre/éteins; rollbacker; remettre/remets en route; revenir/reviens",
        "grant": "ouvrir/ouvre/ouvrez … accès; laisser … entrer; laisser … accéder; ajouter; habiliter; passer … admin; confier",
        "revoke": "virer; dégager; couper … accès; éjecter; fermer … accès; écarter; expulser",
        "post": "mettre/mets/mettez … en ligne; afficher; balancer",
        "control": "rallumer; tamiser; chauffer; éteindre/éteins/éteignez; lancer; mettre/mets/mettez … en marche; arrêter; remonter",
    },
    "es": {
        "create": "meter/mete/meta; montar; armar; levantar; dejar … nota; rellenar; dar/da/dé de alta; abrir/abre/abra",
        "update": "pasar; retocar; arreglar; actualizar; resolver/resuelve/resuelva; rebautizar; priorizar; reasignar; retrasar; dar/da/dé por",
        "send": """dar/da/dale un toque:message; poner/pon/ponga … en copia; poner/pon/ponga … al día; poner/pon/ponga … al corriente; hacer/haz/hazle llegar; pasar; pásale;
            tener/ten al tanto; mantener/mantén … al tanto; dejar … mensaje; contar/cuéntale/cuenta; escribir; rebotar; hacer/haz/hazle saber""",
        "pay": """hacer/haz/hazle … bizum:money; soltar … euros:money; sacar/saca/sácame … billete:travel; coger/coge/cógeme … billete:travel; devolver/devuelve/devuélvele … dinero:money; regresar;
            reponer/repón; adquirir/adquiere; dar/da/dale … euros:money""",
        "delete": "botar; desechar; echar; cargar; purgar; sacar; despejar; deshacerse/deshazte; mandar a la papelera; retirar",
        "cancel": "dar/da/dé/darme/dame/date de baja; desapuntar; abortar; matar; desconvocar; cortar; rescindir/rescinde",
        "schedule": "apartar; cuadrar:event; retrasar; atrasar; correr/corre … reunión:event; apuntar:event; despertar/despiértame:event,task; buscar … hueco:event; sacar/saca/sácame … billete:travel; coger/coge/cógeme",
        "run": "tumbar; levantar; relanzar; reiniciar; escalar; revertir/revierte; matar; apagar; desinstalar; volver/vuelve a",
        "grant": "dar/da/dé/dale … acceso; dar/da/dé/dale … permiso; dejar … entrar; dejar … ver; dar/da/dé de alta; meter/mete; añadir; traspasar; hacer/haz … administrador",
        "revoke": "echar; sacar; cortar … acceso; quitar … acceso; dar/da de baja; cerrar/cierra … acceso; botar",
        "post": "sacar; lanzar; poner/pon … en la web; escribir … post",
        "control": "prender/prende; calentar/calienta; bajar; quitar; atenuar; silenciar; conectar; desconectar",
    },
}

# Bookings are asked for by naming the thing alone.
_WANTED = {
    "en": (("i need", "we need", "i want", "i d like", "we d like"), ("a ", "an ", "two ", ""),
           "flight; train; taxi; cab; ride; hotel; hotel room; table; seat; ticket; tickets; rental car; room; appointment; meeting; slot"),
    "de": (("brauche", "brauchen", "hätte gern", "möchte"), ("ein ", "eine ", "einen "),
           "flug; zug; taxi; hotel; zimmer; tisch; ticket; mietwagen; termin; fahrkarte; platz"),
    "fr": (("il me faut", "il nous faut", "j ai besoin d", "je voudrais", "il me faudrait"), ("un ", "une ", "deux "),
           "vol; train; taxi; hôtel; chambre; table; billet; voiture; rendez vous"),
    "es": (("necesito", "necesitamos", "me hace falta", "quiero", "quisiera"), ("un ", "una ", "dos "),
           "vuelo; tren; taxi; hotel; habitación; mesa; billete; billetes; coche; cita"),
}  # fmt: skip


def _wanted(code: str) -> tuple[str, ...]:
    heads, articles, nouns = _WANTED[code]
    return tuple(f"{head} {article}{noun}" for head in heads for article in articles for noun in entries(nouns))


def _crossed(firsts: str, seconds: str) -> tuple[str, ...]:
    return tuple(f"{first} {second}" for first in entries(firsts) for second in entries(seconds))


_DUE_EN = _crossed(
    "is due; are due; is overdue; are overdue; needs paying; need paying",
    "… please:money,bill; … take care of:money,bill; … handle:money,bill; … sort:money,bill; … deal with:money,bill",
)
_DUE_DE = _crossed(
    "ist fällig; sind fällig; ist überfällig; sind überfällig",
    "… bitte:money,bill; … kümmer:money,bill; … kümmere:money,bill; … erledige:money,bill; … erledig:money,bill",
)

FRAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "send": _crossed(
            "should; must; ought to; needs to; need to; has to; have to; could do with",
            "get; receive; know; hear; know about; be told; be informed; have a copy",
        ),
        "pay": (*_DUE_EN, "should get … money back:money", "should get … refund:money", "i owe … pay:money"),
        "delete": ("^gone", "^out of the way"),
        "cancel": ("want out of", "d like out of", "need out of", "can t make", "can not make"),
        "schedule": _wanted("en"),
        "grant": _crossed("should; needs to; need to; must", "have access; be able to open; be able to see; be let in"),
        "revoke": _crossed("should; must; should no longer", "lose access; have no access; no longer have access"),
    },
    "de": {
        "send": _crossed(
            "soll; sollte; muss; sollen; sollten; müssen", "… bekommen; … erhalten; … erfahren; … wissen; … kriegen"
        ),
        "pay": (*_DUE_DE, "geld zurückbekommen:money", "geld zurückkriegen:money", "geld zurück:money"),
        "delete": ("kann weg", "können weg", "muss weg", "müssen weg", "soll weg", "sollen weg"),
        "schedule": _wanted("de"),
        "grant": entries(
            "gib … zugriff; gib … zugang; gib … rechte; geben … zugriff; soll … zugriff; braucht … zugriff; braucht … zugang; brauchen … zugriff"
        ),
        "revoke": entries("soll … keinen zugriff; nimm … rechte; nimm … zugriff"),
    },
    "fr": {
        "send": _crossed("doit; doivent; devrait; devraient", "recevoir; avoir; savoir; être au courant"),
        "pay": _crossed("est à payer; est à régler; sont à payer", "… s il te plaît:money,bill; … stp:money,bill"),
        "schedule": _wanted("fr"),
    },
    "es": {
        "send": _crossed("debe; deben; debería; deberían; tiene que; tienen que", "recibir; saber; enterarse; tener"),
        "schedule": _wanted("es"),
    },
}
