"""French requests: tu and vous imperatives, infinitives, subjunctives, "je voudrais que tu ..."."""

from __future__ import annotations

from agentguard.flow.languages.everyday import FRAMES, VERBS
from agentguard.flow.languages.language import Language, entries, joined

__all__ = ["FRENCH"]


def _inflected(table: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Infinitives in -er get their forms by rule; ``/`` parts the forms of the others."""
    found: dict[str, tuple[str, ...]] = {}
    for family, text in table.items():
        forms: list[str] = []
        for entry in entries(text):
            head, colon, implied = entry.partition(":")
            verb, _, rest = head.partition(" ")
            tail = (" " + rest if rest else "") + colon + implied
            forms += [form + tail for form in (verb.split("/") if "/" in verb else _forms(verb))]
        found[family] = tuple(dict.fromkeys(forms))
    return found


def _forms(verb: str) -> list[str]:
    if not verb.endswith("er"):
        return [verb]
    stem = verb.removesuffix("er")
    soft = stem
    if stem.endswith(("oy", "uy", "ay")):
        soft = stem[:-1] + "i"  # envoyer: envoie
    elif stem.endswith("el") and not stem.endswith("eel"):
        soft = stem + "l"  # appeler: appelle
    eased = stem + "e" if stem.endswith("g") else stem
    return [
        verb,
        soft + "e",
        soft + "es",
        stem + "e",
        stem + "ez",
        stem + "iez",
        eased + "ons",
        eased + "ant",
        "^" + stem + "é",
        "^" + stem + "ée",
    ]


_VERBS = _inflected({
    "read": """lire/lis/lisez; montrer; lister; chercher; trouver; rechercher; vérifier; résumer; consulter; afficher; regarder; ouvrir/ouvre/ouvrez;
        donner; traduire/traduis/traduisez; voir; récupérer; comparer""",
    "draft": "rédiger un brouillon:draft; préparer un brouillon:draft; ébaucher:draft",
    "create": """créer; ajouter; rajouter; écrire/écris/écrivez; rédiger; sauvegarder; enregistrer; noter; insérer; générer; copier; préparer; téléverser; faire/fais/faites;
        mettre/mets/mettez; stocker; dupliquer; archiver; établir/établis/établissez; remplir/remplis; inscrire/inscris/inscrivez; exporter; consigner""",
    "update": """modifier; changer; rajouter; mettre/mets/mettez à jour; renommer; déplacer; remplacer; corriger; ajuster; augmenter; baisser; prolonger; marquer;
        compléter; réinitialiser; archiver; ranger; trier; organiser; ajouter; nettoyer; classer; actualiser; terminer; mettre/mets/mettez; régler; éditer""",
    "send": """envoyer; expédier; transférer; transmettre/transmets/transmettez; répondre/réponds/répondez; prévenir/préviens/prévenez; informer; avertir/avertis/avertissez;
        notifier; faire/fais/faites savoir; faire/fais/faites suivre; contacter; rappeler; demander; remercier; dire/dis/dites; écrire/écris/écrivez; adresser; signaler;
        confirmer; communiquer; relancer; féliciter; saluer; renvoyer; mailer:mail; inviter; annoncer; partager; recontacter""",
    "share": "partager; donner l'accès; donner accès; donner … accès; donner un accès; diffuser",
    "invite": "inviter; convier",
    "pay": """payer; régler; virer:money; verser:money; acheter; commander; rembourser:money; acquitter:money; faire/fais/faites … virement:money; effectuer; transférer; donner; abonner;
        envoyer … euros:money; vendre/vends/vendez; déposer; créditer; recharger""",
    "delete": "supprimer; mettre/mets/mettez à la poubelle; mettre/mets/mettez à la corbeille; mettre/mets/mettez … à la corbeille; mettre/mets/mettez … à la poubelle; effacer; enlever; retirer; vider; jeter/jette/jettes/jetez; détruire/détruis/détruisez; nettoyer; désinstaller; éliminer; débarrasser",
    "cancel": "annuler; résilier; décommander; décliner; refuser; arrêter; interrompre; désabonner; désinscrire; stopper; supprimer",
    "schedule": """planifier; programmer; réserver; organiser; prévoir/prévois/prévoyez; fixer; caler:event; déplacer; reporter; décaler; prendre/prends/prenez … rendez-vous:event;
        mettre/mets/mettez … agenda:event; mettre/mets/mettez … calendrier:event; rappeler:task,event; bloquer; avancer; louer; ajouter; repousser; convenir""",
    "run": "exécuter; lancer; relancer; démarrer; redémarrer; installer; tester; compiler; calculer; déployer; arrêter; déclencher",
    "grant": "accorder; autoriser; donner l'accès; donner accès; donner des droits; donner les droits; permettre/permets/permettez; octroyer; débloquer; nommer; attribuer; approuver; promouvoir",
    "revoke": "révoquer; retirer; bloquer; suspendre/suspends/suspendez; désactiver; bannir/bannis; verrouiller; exclure/exclus/excluez; enlever; supprimer",
    "post": "publier; poster; commenter; annoncer; tweeter; partager; téléverser; diffuser; mettre/mets/mettez en ligne; noter",
    "control": "allumer; éteindre/éteins/éteignez; ouvrir/ouvre/ouvrez; fermer; jouer; baisser; monter; augmenter; verrouiller; mettre/mets/mettez; régler; activer; désactiver; couper",
})  # fmt: skip

_OBJECTS = {
    "mail": "mail; email; e mail; courriel; courrier; lettre; boîte de réception; messagerie",
    "message": "message; sms; texto; réponse; notification; mp",
    "channel": "canal; salon; groupe; chaîne; slack",
    "file": """corbeille; poubelle; devis; facture pdf; compte-rendu; téléchargement; plan; chiffres; fichier; document; dossier; rapport; tableau; présentation; photo; image; note; contrat; pièce jointe; compte rendu; résumé; liste; brouillon;
        synthèse; feuille; répertoire; modèle""",
    "event": "événement; rendez vous; réunion; agenda; calendrier; invitation; rappel; rencontre; déjeuner; dîner; réservation; entretien; appel; conférence; alarme; réveil; rdv; atelier; séance",
    "money": "argent; paiement; virement; euro; dollar; prélèvement; remboursement; don; transaction; franc; caution; somme; montant; différence; reste; part",
    "bill": "facture; compte; loyer; salaire; iban; frais; abonnement; solde; note de frais; dette; cotisation; carte bancaire; relevé",
    "product": "produit; article; commande; panier; colis; livre; cadeau; action; livraison",
    "travel": "hôtel; vol; train; taxi; chambre; voyage; restaurant; table; billet; trajet; voiture; réservation; logement; place; nuits",
    "contact": "contact; carnet d'adresses; numéro de téléphone; client; cliente; personne; adresse; collègue; ami; amie; numéro; fournisseur",
    "account": "utilisateur; compte; mot de passe; permission; accès; rôle; membre; droit; profil; identifiant; autorisation; administrateur",
    "record": "base de données; enregistrement; entrée; ligne; donnée; champ; fiche; ticket; stock; fiche client",
    "task": "tâche; ticket; rappel; projet; bug; carte; todo",
    "code": "code; script; commande; programme; fonction; serveur; service; test; dépôt; branche; requête; application; conteneur",
    "web": "site; page; lien; url; article; blog; billet; internet; page web; site web; formulaire",
    "social": "tweet; publication; commentaire; statut; avis; post",
    "device": "lumière; lampe; porte; chauffage; musique; chanson; fenêtre; télé; télévision; moteur; température; volume; voiture; climatisation",
}  # fmt: skip


def _plural(noun: str) -> str:
    words = noun.split(" ", 1)
    head = words[0]
    head = (
        head
        if head.endswith(("s", "x"))
        else head + "x"
        if head.endswith("eau")
        else head[:-2] + "aux"
        if head.endswith("al")
        else head + "s"
    )
    return " ".join([head, *words[1:]])


_SINGULAR = {family: entries(text) for family, text in _OBJECTS.items()}

FRENCH = Language(
    code="fr",
    verbs=joined(_VERBS, _inflected(VERBS["fr"]), FRAMES["fr"]),
    objects=_SINGULAR,
    plurals={family: tuple(p for noun in nouns if (p := _plural(noun)) != noun) for family, nouns in _SINGULAR.items()},
    grammar={
        "content": entries("que; parce"),
        "reports_me": entries("rappelle; rappelez; rappeler"),
        "common": entries("le; la; les; de; du; des; un; une; et; pour; mon; ma; mes; avec; je; tu; vous; que; est; au; aux; dans; sur; moi; lui; leur; l; d; s il te plaît"),
        "negation": entries("ne; n; sans; jamais; au lieu de; plutôt que de; éviter de; évite de"),
        "no_negation": entries("n oublie pas; n oubliez pas; ne pas oublier; ne manque pas; ne manquez pas; n hésite pas; n hésitez pas; pas seulement"),
        "negates_after": entries("pas; rien; personne; jamais; aucun; aucune; plus"),
        "filler": entries("pas; plus; rien; le; la; les; lui; leur; me; moi; nous; y; en; jamais; surtout; de; d; l; te; tu; vous; rien; faut; veux; il; que"),
        "question": entries("comment; combien; quel; quelle; quels; quelles; qui; pourquoi; quoi"),
        "no_question": entries("ce qui; celui qui; ceux qui"),
        "ask_how": entries("comment; est il possible de"),
        "past_question": entries("ai je; as tu; avez vous; avons nous; a t; est ce que j; ont ils"),
        "either": entries("ou; ni"),
        "and": entries("et; puis; ensuite; mais; après"),
        "coordination": entries("et; ainsi que"),
        "lead": entries("et; puis; de; à; pour; peux; tu; vous; svp; ensuite; veuillez; pas; pourrais; pourriez; lui; leur; moi"),
        "causative": entries("veux; voudrais; faut; souhaite; doit; aimerais; soit; soient; être; doivent"),
        "no_causative": entries("déjà; été"),
        "modal": entries("que; peux; dois; faut; voudrais; veux"),
        "pronoun": entries("le; la; les; lui; leur; ça; cela; celui; celle; ceux; tout; l; tous; ci"),
        "vague": entries("le; la; les; l; rien; ça; cela; lui; leur; encore"),
        "many": entries("chaque; tous; toutes; tout; chacun; chacune; plusieurs; quelques; individuellement; séparément; équipe; participants; collègues; clients; amis; invités"),
        "reported": entries("disant; qui dit; intitulé; intitulée; avec le texte; avec l objet; avec le contenu; nommé; nommée; appelé"),
        "reports": entries("demande; demandez; dis; dites; rappelle; demander; dire"),
        "received": entries("reçu; reçue; reçus; envoyé; envoyée; écrit; transmis; transmise; transféré; partagé"),
        "relative": entries("que; qui; j; je; de; m; nous; a; il; elle; du; par; on"),
        "source": entries("dans; de; du; selon; d; sur; depuis; à"),
        "introduces": entries("selon; d après; conformément à; indiqué dans; mentionné dans; indiquées dans; décrit dans; comme indiqué dans"),
        "others_wish": entries("veut que nous; veulent que nous; veut que je; veulent que je; veut qu on; veulent qu on; nous demande de; nous demandent de; me demande de; me demandent de; nous devons; je dois"),
        "container": entries("dossier; répertoire; boîte; corbeille; poubelle; agenda; calendrier; canal; salon; bureau; messagerie"),
        "accordingly": entries("en conséquence"),
        "place": entries("de; du; des; d; dans; sur"),
        "own_list": entries("suivantes; suivants; ces"),
        "article": entries("le; la; les; l; un; une; des; mon; ma; mes; ce; cet; cette; dernier; dernière; notre; votre; son; sa; du"),
        "me": entries("moi; nous; m; me"),
        "delegates": entries("""fais ce que; faites ce que; fais ce qui; faites ce qui; suis … instructions; suivez … instructions; suivre … instructions; exécute … instructions; exécutez … instructions; applique … consignes;
            suis … consignes; suivez … consignes; suis … étapes; suivez … étapes; listées dans; listés dans; indiqué dans; indiqués dans; indiquées dans; mentionnées dans; mentionnés dans; décrites dans; occupe toi de tout; selon; d après; contenues dans; figurant dans; effectue … tâches; traite … demandes"""),
        "speaks": entries("""dit que; dit de; veut que; veulent que; demande que; demande de; m a demandé; nous a demandé; pense que; écrit que; exige; suggère; recommande; voudrait que; aimerait que; me dit; me demande; insiste"""),
        "affirms": entries("""fais le; faites le; vas y; allez y; occupe t en; occupez vous en; fais ça"""),
        "therefore": entries("""donc; alors"""),
        "polite": entries("""s il te plaît; s il vous plaît; stp; svp"""),
        "contrast": entries("""mais; plutôt; seulement"""),
        "excludes": entries("""sauf; excepté; hormis; à part; pas à; pas au; pas aux; pas chez; pas dans"""),
        "works_on": entries("""traduis; traduisez; traduire; corrige; corrigez; reformule; reformulez; résume; résumez; explique; expliquez"""),
        "decides": entries("""dois je; devrais je; devons nous; faut il; est ce que je dois; est ce que je devrais; est ce qu il faut; vaut il mieux; est ce une bonne idée"""),
        "afterwards": entries("""puis; ensuite; après; enfin"""),
        "asks_first": entries("""demande moi d abord; demandez moi d abord; demande moi avant; attends mon; attends ma; attendez mon; après mon accord; avec mon accord"""),
        "number": entries("un=1; une=1; deux=2; trois=3; quatre=4; cinq=5; six=6; sept=7; huit=8; neuf=9; dix=10"),
    },
)  # fmt: skip
