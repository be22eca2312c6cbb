"""National identity, tax and health numbers, one country's number a line; python-stdnum knows their checks.

Columns: type, python-stdnum module, whether the form alone is proof (``form``) or a word must stand before it
(``word``), the words in the languages of the country, the pattern. A word counts up to 40 characters before the number.
"""

from __future__ import annotations

import functools
import importlib
import random
import re
from collections.abc import Callable, Iterator

from agentguard.detect.recognizers.engine import Recognizer

__all__ = ["RECOGNIZERS"]

_TABLE = r"""
ar-cuit ar.cuit word cuit|cuil [0-9]{2}-?[0-9]{8}-?[0-9]
at-insurance at.vnr word sozialversicherungsnummer|sv-nummer|svnr|insurance [0-9]{4} ?[0-9]{6}
au-tfn au.tfn word tfn|tax~file [0-9]{3} ?[0-9]{3} ?[0-9]{3}
be-national-number be.nn word rijksregisternummer|numéro~national|numero~national|national~number|insz|niss [0-9]{2}\.?[0-9]{2}\.?[0-9]{2}-?[0-9]{3}\.?[0-9]{2}
bg-egn bg.egn word егн|egn [0-9]{10}
br-cnpj br.cnpj form cnpj [0-9]{2}\.[0-9]{3}\.[0-9]{3}/[0-9]{4}-[0-9]{2}
br-cpf br.cpf form cpf [0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}
br-cpf-plain br.cpf word cpf [0-9]{11}
ca-sin ca.sin word \bsin\b|social~insurance|nas\b|assurance~sociale [0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}
ch-ahv ch.ssn form ahv|avs 756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}
cl-rut cl.rut form \brut\b|\brun\b [0-9]{1,2}\.[0-9]{3}\.[0-9]{3}-[0-9Kk]
cl-rut-plain cl.rut word \brut\b|\brun\b [0-9]{7,8}-[0-9Kk]
cn-resident-id iso7064.mod_11_2 form 身份证|id~card [1-9][0-9]{5}[12][09][0-9]{2}[01][0-9][0-3][0-9]{4}[0-9X]
co-nit co.nit word \bnit\b [0-9]{3}\.?[0-9]{3}\.?[0-9]{3}-?[0-9]
cz-birth-number cz.rc word rodné~číslo|rodne~cislo|birth~number|\brč\b [0-9]{6}/?[0-9]{3,4}
de-tax-id de.idnr word steuer|tax|idnr|identifikationsnummer [0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}
dk-cpr dk.cpr word cpr|personnummer [0-9]{6}-?[0-9]{4}
do-cedula do.cedula word cédula|cedula [0-9]{3}-?[0-9]{7}-?[0-9]
ec-cedula ec.ci word cédula|cedula|\bci\b [0-9]{10}
ee-personal-code ee.ik word isikukood|personal~code [0-9]{11}
es-dni es.dni form dni|nif [0-9]{8}-?[A-HJ-NP-TV-Z]
es-nie es.nie form nie [XYZ]-?[0-9]{7}-?[A-HJ-NP-TV-Z]
fi-hetu fi.hetu form henkilötunnus|hetu [0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-Y]
fr-nir fr.nir form sécurité~sociale|nir|insee [12] ?[0-9]{2} ?[0-9]{2} ?[0-9][0-9AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}
gb-nhs gb.nhs word nhs [0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4}
gb-utr gb.utr word \butr\b|taxpayer [0-9]{10}
gr-amka gr.amka word αμκα|amka [0-9]{11}
hr-oib hr.oib word oib [0-9]{11}
ie-pps ie.pps word \bpps [0-9]{7}[A-W][ABW]?
il-id il.idnr word תעודת~זהות|teudat~zehut|israeli~id|\bid\b [0-9]{9}
in-aadhaar in_.aadhaar word aadhaar|aadhar|uidai|आधार [2-9][0-9]{3} ?[0-9]{4} ?[0-9]{4}
in-pan in_.pan word \bpan\b|permanent~account [A-Z]{5}[0-9]{4}[A-Z]
is-kennitala is_.kennitala word kennitala [0-9]{6}-?[0-9]{4}
it-fiscal-code it.codicefiscale form codice~fiscale [A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]
jp-my-number jp.in_ word マイナンバー|個人番号|my~number [0-9]{4} ?[0-9]{4} ?[0-9]{4}
kr-rrn kr.rrn form 주민등록번호|rrn [0-9]{6}-[1-8][0-9]{6}
lt-personal-code lt.asmens word asmens~kodas|personal~code [0-9]{11}
mx-curp mx.curp form curp [A-Z][AEIOUX][A-Z]{2}[0-9]{2}[01][0-9][0-3][0-9][HMX][ABCDGHJMNOPQSTVYZ][A-Z][B-DF-HJ-NP-TV-Z]{3}[0-9A-Z][0-9]
mx-rfc mx.rfc word \brfc\b [A-ZÑ&]{3,4}[0-9]{6}[0-9A-Z]{3}
my-nric my.nric word mykad|nric|kad~pengenalan|\bic\b [0-9]{6}-?[0-9]{2}-?[0-9]{4}
nl-bsn nl.bsn word bsn|burgerservicenummer|sofi [0-9]{9}
no-birth-number no.fodselsnummer word fødselsnummer|fodselsnummer|personnummer|birth~number [0-9]{6} ?[0-9]{5}
nz-ird nz.ird word \bird\b [0-9]{2,3}-?[0-9]{3}-?[0-9]{3}
pe-dni pe.cui word dni|cui [0-9]{8}-?[0-9A-K]
pl-pesel pl.pesel word pesel [0-9]{11}
pt-citizen-card pt.cc word cartão~de~cidadão|citizen~card [0-9]{8} ?[0-9] ?[A-Z0-9]{2}[0-9]
pt-nif pt.nif word nif|contribuinte [0-9]{9}
ro-cnp ro.cnp word cnp|cod~numeric [1-9][0-9]{12}
se-personal-number se.personnummer word personnummer|personal~number|personal~identity [0-9]{6,8}[-+]?[0-9]{4}
si-emso si.emso word emšo|emso|jmbg|матични [0-9]{13}
th-citizen-id th.pin word บัตรประชาชน|thai~id|citizen~id [0-9]-?[0-9]{4}-?[0-9]{5}-?[0-9]{2}-?[0-9]
tr-identity-number tr.tckimlik word kimlik|tckn|\btc\b [1-9][0-9]{10}
ua-tax-number ua.rntrc word рнокпп|іпн|ідентифікаційний|tax [0-9]{10}
us-ein us.ein word \bein\b|employer~identification [0-9]{2}-[0-9]{7}
us-itin us.itin word itin|taxpayer 9[0-9]{2}-?[0-9]{2}-?[0-9]{4}
ve-rif ve.rif word \brif\b [VEJPG]-?[0-9]{8}-?[0-9]
za-id za.idnr word south~african~id|id~number|\bid\b|identity~number [0-9]{13}
"""
# A check takes some 14 microseconds; five thousand people are the most that one text may list.
MAX_NUMBERS = 5_000
# The numbers of one seed that are tried until a check digit fits: one in 11 or 97 does.
_TRIES = 20_000
_PIECE = re.compile(
    r"\[(?P<set>[^\]]*)\](?:\{(?P<low>[0-9]+)(?:,(?P<high>[0-9]+))?\})?(?P<maybe>\?)?|\\(?P<mark>.)\??|(?P<plain>[^\[\\?])\??"
)


@functools.cache
def _check(module: str) -> Callable[[str], bool]:
    # Imported on the first candidate: most texts hold none.
    check: Callable[[str], bool] = importlib.import_module(f"stdnum.{module}").is_valid
    return check


# A number comes again in most texts that hold one.
@functools.lru_cache(maxsize=4096)
def _valid(module: str, value: str) -> bool:
    try:
        return bool(_check(module)(value))
    except (IndexError, KeyError, ValueError):
        # A number of the right form that its own check cannot read is not let through.
        return True


def _candidates(pattern: str) -> Iterator[str]:
    """Texts of the pattern's form, in a fixed random order; dates in them are plausible often enough."""
    chance = random.Random(pattern)
    pieces = list(_PIECE.finditer(pattern))
    for _ in range(_TRIES):
        text = ""
        for piece in pieces:
            if piece["set"] is not None:
                pool = [chr(c) for c in range(0x30, 0x100) if re.fullmatch(f"[{piece['set']}]", chr(c))] or ["-"]
                text += "".join(chance.choices(pool, k=int(piece["low"] or 1)))
            else:
                text += piece["mark"] or piece["plain"]
        yield text


@functools.cache
def _valid_number(module: str, pattern: str) -> str:
    return next(text for text in _candidates(pattern) if _valid(module, text))


@functools.cache
def _invalid_number(module: str, pattern: str) -> str:
    return next(text for text in _candidates(pattern) if not _valid(module, text))


def _checked(module: str) -> Callable[[str, str], int]:
    # One repeated digit passes some checksums and is nobody's number.
    def valid(value: str, before: str) -> int:
        return len(value) if len({char for char in value if char.isalnum()}) > 1 and _valid(module, value) else 0

    return valid


def _recognizer(row: str) -> Recognizer:
    name, module, proof, words, pattern = row.split(" ", 4)
    words = words.replace("~", "[ -]?")
    number = rf"\b(?P<v>{pattern})\b"
    lead = "" if proof == "form" else re.sub(r"\\b", "", words.split("|")[0]).replace("[ -]?", " ") + ": "
    return Recognizer(
        f"pii.{name.removesuffix('-plain')}",
        name,
        number if proof == "form" else rf"(?i:{words})[^\n]{{0,40}}?{number}",
        trigger=number if proof == "form" else rf"(?i:{words})[^\n]*[0-9]",
        validator=_checked(module),
        examples=lambda: (lead + _valid_number(module, pattern),),
        negatives=lambda: (lead + _invalid_number(module, pattern),),
        keywords=tuple(words.split("|")) if proof == "word" else (),
        score=0.9 if proof == "form" else 0.8,
        rank=2,
        most=MAX_NUMBERS,
    )


RECOGNIZERS = tuple(_recognizer(line) for line in _TABLE.split("\n") if line)
