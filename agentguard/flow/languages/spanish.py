"""Spanish requests: tú and usted imperatives, voseo, infinitives, subjunctives, enclitic pronouns ("envíaselo")."""

from __future__ import annotations

from agentguard.flow.languages.everyday import FRAMES, VERBS
from agentguard.flow.languages.language import Language, entries, joined

__all__ = ["SPANISH"]


def _inflected(table: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Regular infinitives get their forms by rule; ``/`` parts the forms of the others."""
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
    stem, ending = verb[:-2], verb[-2:]
    if ending == "ar":
        hard = (
            stem[:-1] + "qu"
            if stem.endswith("c")
            else stem[:-1] + "c"
            if stem.endswith("z")
            else stem + "u"
            if stem.endswith("g")
            else stem
        )
        return [
            verb,
            stem + "a",
            hard + "e",
            hard + "en",
            hard + "es",
            hard + "emos",
            stem + "as",
            stem + "ando",
            stem + "ad",
            "^" + stem + "ado",
            "^" + stem + "ada",
        ]
    vowel = {"er": "e", "ir": "e"}.get(ending)
    if vowel is None:
        return [verb]
    return [
        verb,
        stem + "e",
        stem + "a",
        stem + "an",
        stem + "as",
        stem + "es",
        stem + "amos",
        stem + "iendo",
        "^" + stem + "ido",
        "^" + stem + "ida",
    ]


_VERBS = _inflected({
    "read": """leer/lee/lea/lean; mostrar/muestra/muestre; listar; buscar; encontrar/encuentra/encuentre; revisar; resumir; consultar; ver/mira/mire; abrir; comprobar/comprueba/compruebe;
        traducir/traduce/traduzca; obtener/obtén/obtenga; comparar; verificar""",
    "draft": "redactar un borrador:draft; preparar un borrador:draft; esbozar:draft",
    "create": """crear; añadir; agregar; escribir; redactar; guardar; insertar; anotar; apuntar; generar; registrar; copiar; subir; preparar; hacer/haz/haga/hagan/hagas; elaborar;
        poner/pon/ponga/pongas; duplicar; almacenar; abrir; exportar; grabar; incluir/incluye/incluya""",
    "update": """actualizar; cambiar; modificar; editar; renombrar; mover/mueve/mueva/muevas; reemplazar; corregir/corrige/corrija; ajustar; aumentar; reducir/reduce/reduzca; ampliar; marcar; completar;
        restablecer/restablece/restablezca; archivar; ordenar; organizar; limpiar; agregar; añadir; sustituir/sustituye/sustituya; poner/pon/ponga; cerrar/cierra/cierre; asignar; prorrogar; subir; bajar""",
    "send": """enviar; mandar; reenviar; responder; contestar; avisar; informar; notificar; comunicar; decir/dile/dígale/diles/di; recordar/recuerda/recuerde/recuérdale; preguntar; pedir/pide/pida/pídele;
        escribir; contactar; agradecer/agradece/agradezca; felicitar; remitir; transmitir; hacer/haz/haga saber; confirmar; invitar; compartir; alertar; saludar; advertir/advierte/advierta""",
    "share": "compartir; dar/da/dé/dale/dales acceso; dar/da/dé/dale/dales … acceso; difundir",
    "invite": "invitar; convidar",
    "pay": """pagar; pasar … euros:money; pasar … dólares:money; transferir/transfiere/transfiera/transfieras:money; abonar; ingresar; comprar; pedir/pide/pida; reembolsar:money; devolver/devuelve/devuelva; donar:money; liquidar:money; hacer/haz/haga … transferencia:money;
        hacer/haz/haga … pago:money; realizar; programar … pago:money; programar … transferencia:money; girar:money; encargar; depositar; vender/vende/venda; saldar:money; recargar; suscribir; enviar/envía/envíale/manda/mándale … euros:money""",
    "delete": "borrar; tirar a la basura; echar a la basura; mover/mueve/mueva a la papelera; mover/mueve/mueva … a la papelera; eliminar; quitar; suprimir; vaciar/vacía/vacíe; tirar; destruir/destruye/destruya; limpiar; desinstalar; descartar; deshacer/deshazte",
    "cancel": "cancelar; anular; rechazar; detener/detén/detenga; interrumpir; suspender; desuscribir; declinar; parar; finalizar; terminar",
    "schedule": """programar; agendar:event; reservar; planificar; planear; concertar/concierta/concierte; organizar; fijar; mover/mueve/mueva; aplazar; posponer/pospón/posponga; adelantar; poner/pon/ponga … calendario:event;
        poner/pon/ponga … agenda:event; bloquear; recordar/recuérdame/recuerda:task,event; cambiar; añadir; agregar; alquilar; hacer/haz/haga … reserva; pedir/pide/pida … cita:event; convocar; reprogramar""",
    "run": "ejecutar; correr/corre/corra; lanzar; iniciar; arrancar; reiniciar; instalar; probar/prueba/pruebe; compilar; calcular; desplegar/despliega/despliegue; detener/detén/detenga",
    "grant": "conceder; autorizar; permitir; otorgar; dar/da/dé/dale acceso; dar/da/dé/dale permiso; dar/da/dé/dale permisos; habilitar; aprobar/aprueba/apruebe; nombrar; asignar; desbloquear; ascender/asciende",
    "revoke": "revocar; retirar; bloquear; suspender; desactivar; expulsar; vetar; quitar; eliminar; deshabilitar; restringir/restringe/restrinja",
    "post": "publicar; postear; comentar; anunciar; tuitear; subir; compartir; difundir; colgar/cuelga/cuelgue; valorar",
    "control": "encender/enciende/encienda; apagar; abrir; cerrar/cierra/cierre; subir; bajar; poner/pon/ponga; reproducir/reproduce/reproduzca; bloquear; ajustar; activar; desactivar; pausar",
})  # fmt: skip

_OBJECTS = {
    "mail": "correo; email; e mail; mail; correo electrónico; carta; bandeja de entrada; buzón",
    "message": "mensaje; sms; respuesta; notificación; chat; whatsapp",
    "channel": "canal; grupo; slack",
    "file": "archivo; fichero; documento; carpeta; informe; tabla; presentación; foto; imagen; nota; contrato; adjunto; resumen; lista; borrador; hoja; directorio; acta; plantilla; reporte; apunte",
    "event": "evento; cita; reunión; agenda; calendario; invitación; recordatorio; almuerzo; cena; comida; reserva; llamada; entrevista; conferencia; alarma; encuentro; desayuno; taller",
    "money": "dinero; pago; transferencia; euro; dólar; domiciliación; reembolso; donación; transacción; peso; fianza; cantidad; importe; diferencia; parte",
    "bill": "factura; cuenta; alquiler; iban; salario; tarifa; suscripción; saldo; recibo; deuda; cuota; tarjeta; nómina; gasto; extracto",
    "product": "producto; artículo; pedido; carrito; paquete; libro; regalo; acción; entrega",
    "travel": "hotel; vuelo; tren; taxi; habitación; viaje; restaurante; mesa; billete; boleto; coche; reserva; alojamiento; asiento; entrada; carro; noches",
    "contact": "contacto; libreta de direcciones; número de teléfono; cliente; clienta; persona; dirección; compañero; compañera; amigo; amiga; número; proveedor; colega",
    "account": "usuario; cuenta; contraseña; permiso; acceso; rol; miembro; derecho; perfil; credencial; administrador; usuaria",
    "record": "base de datos; registro; entrada; fila; dato; campo; ficha; inventario; caso",
    "task": "tarea; ticket; recordatorio; proyecto; incidencia; error; tarjeta; pendiente",
    "code": "código; script; comando; programa; función; servidor; servicio; prueba; repositorio; rama; consulta; aplicación; contenedor",
    "web": "sitio; página; enlace; url; artículo; blog; entrada; internet; página web; sitio web; formulario; web",
    "social": "tuit; publicación; comentario; estado; reseña; post",
    "device": "luz; lámpara; puerta; calefacción; música; canción; ventana; televisor; tele; motor; temperatura; volumen; coche; aire acondicionado",
}  # fmt: skip


def _plural(noun: str) -> str:
    words = noun.split(" ", 1)
    head = words[0]
    if head.endswith("z"):
        head = head[:-1] + "ces"
    elif head.endswith("s") and head[-2:-1] in "eo":
        head += ""
    else:
        head += "s" if head[-1] in "aeiouáé" else "es"
    return " ".join([head, *words[1:]])


_SINGULAR = {family: entries(text) for family, text in _OBJECTS.items()}

SPANISH = Language(
    code="es",
    verbs=joined(_VERBS, _inflected(VERBS["es"]), FRAMES["es"]),
    objects=_SINGULAR,
    plurals={family: tuple(p for noun in nouns if (p := _plural(noun)) != noun) for family, nouns in _SINGULAR.items()},
    grammar={
        "content": entries("que; porque"),
        "reports_me": entries("recuérdame; recuerda; recuérdele"),
        "common": entries("el; la; los; las; de; del; un; una; y; para; mi; mis; con; por; favor; que; al; en; lo; le; quiero; puedes"),
        "negation": entries("no; sin; nunca; jamás; en vez de; en lugar de; evita; evite; tampoco"),
        "no_negation": entries("no olvides; no olvide; no te olvides; no dudes; no dude; no solo; no sólo"),
        "negates_after": entries("nada; nadie; ningún; ninguna; ninguno"),
        "filler": entries("lo; la; le; les; los; las; se; me; te; nos; que; quiero; debes; hay; jamás; nunca; vayas; a; ni; tienes; nada; de; ningún; ninguna"),
        "question": entries("cómo; cuánto; cuánta; cuántos; cuántas; cuál; cuáles; quién; quiénes; por qué; qué correos; qué mensajes; dónde"),
        "ask_how": entries("cómo puedo; cómo se; cómo podría; cómo hago; cómo hacer"),
        "past_question": entries("he; has; ha; hemos; había"),
        "either": entries("o; ni; u"),
        "and": entries("y; e; luego; después; pero; sino; además"),
        "coordination": entries("y; e; así como"),
        "lead": entries("y; a; de; para; puedes; podrías; favor; luego; no; que"),
        "causative": entries("quiero; necesito; quisiera; debe; deben; sea; sean; ser; deseo"),
        "no_causative": entries("ya; sido"),
        "modal": entries("que; puedes; puede; debo; quiero"),
        "pronoun": entries("lo; la; los; las; le; les; eso; esto; ese; esa; todo; ambos; estos; esos"),
        "vague": entries("lo; la; los; las; nada; eso; esto; le; todavía; aún"),
        "many": entries("cada; todos; todas; todo; ambos; ambas; varios; varias; algunos; individualmente; equipo; participantes; compañeros; clientes; amigos; asistentes; invitados"),
        "reported": entries("diciendo; que diga; que dice; titulado; titulada; con el texto; con el asunto; con el contenido; llamado; llamada; diciéndole"),
        "reports": entries("pide; pídele; dile; recuérdale; pedir; decir; diles; pida"),
        "received": entries("recibí; recibido; recibida; recibimos; envió; enviado; mandó; mandado; escribió; llegó; reenviado; compartió; reenvió"),
        "relative": entries("que; me; he; de; del; nos; quien; ha; por; yo"),
        "source": entries("en; de; del; según; desde"),
        "introduces": entries("según; de acuerdo con; conforme a; indicado en; mencionado en; indicadas en; descrito en; basado en; como dice"),
        "others_wish": entries("quiere que; quieren que; nos pide que; nos piden que; me pide que; me piden que; nos pide; nos piden; tenemos que; debemos; tengo que"),
        "container": entries("carpeta; directorio; bandeja; papelera; buzón; calendario; agenda; canal; disco; escritorio"),
        "accordingly": entries("en consecuencia"),
        "place": entries("de; del; en; desde"),
        "own_list": entries("siguientes; estas; estos"),
        "article": entries("el; la; los; las; un; una; mi; mis; este; esta; ese; esa; último; última; nuestro; su; al"),
        "me": entries("me; nos"),
        "delegates": entries("""haz lo que; haga lo que; sigue … instrucciones; siga … instrucciones; seguir … instrucciones; ejecuta … instrucciones; ejecute … instrucciones; cumple … instrucciones; sigue … pasos; siga … pasos;
            indicado en; indicadas en; indicados en; listadas en; listados en; enumeradas en; mencionadas en; mencionados en; descritas en; según; que figuran en; que aparecen en; de acuerdo con; ocúpate de todo; realiza … tareas; haz … tareas; atiende … peticiones; lo que diga; lo que dice; lo que pide"""),
        "speaks": entries("""dice que; dijo que; quiere que; quieren que; pide que; pidió que; me pide; nos pide; me pidió; nos pidió; piensa que; escribe que; escribió que; exige; sugiere; recomienda; insiste; cree que"""),
        "affirms": entries("""hazlo; hágalo; adelante; hacedlo; procede; encárgate"""),
        "therefore": entries("""así que; por eso; entonces"""),
        "polite": entries("""por favor"""),
        "contrast": entries("""pero; sino; solo; sólo; mejor"""),
        "excludes": entries("""excepto; salvo; menos; aparte de"""),
        "works_on": entries("""traduce; traduzca; traducir; corrige; corrija; reformula; resume; resuma; explica; explique"""),
        "decides": entries("""debo; debería; deberíamos; debemos; tengo que; conviene; es buena idea; hace falta que"""),
        "afterwards": entries("""luego; después; entonces; al final"""),
        "asks_first": entries("""pregúntame antes; pregúntame primero; consúltame antes; espera mi; espera a que confirme; con mi visto bueno"""),
        "number": entries("un=1; una=1; dos=2; tres=3; cuatro=4; cinco=5; seis=6; siete=7; ocho=8; nueve=9; diez=10"),
    },
    suffixes=entries("selos; selas; selo; sela; melos; melas; melo; mela; noslo; nosla; telo; tela; les; los; las; nos; le; lo; la; me; te; se"),
)  # fmt: skip
