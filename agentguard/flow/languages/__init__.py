"""How requests are worded, one module per language."""

from agentguard.flow.languages.english import ENGLISH
from agentguard.flow.languages.french import FRENCH
from agentguard.flow.languages.german import GERMAN
from agentguard.flow.languages.language import Language
from agentguard.flow.languages.spanish import SPANISH

__all__ = ["LANGUAGES", "Language"]

LANGUAGES = {language.code: language for language in (ENGLISH, GERMAN, FRENCH, SPANISH)}
