"""The text pipeline over files: secrets, personal data, injection, hidden text, in bounded memory.

A file is read as a stream and cut into pieces (``piece``), each examined alone (``examiner``), possibly in another
process; what was found is put back into order and place (``placement``) and, when asked, taken out (``redactor``).
"""

from agentguard.scan.examiner import CLASSES, Search, examine
from agentguard.scan.piece import Cutter, Piece
from agentguard.scan.placement import Found, Placement
from agentguard.scan.redactor import Redactor, Replacement
from agentguard.scan.run import Run
from agentguard.scan.source import Selection, Source, is_binary, read_pieces
from agentguard.scan.workers import examined

__all__ = [
    "CLASSES",
    "Cutter",
    "Found",
    "Piece",
    "Placement",
    "Redactor",
    "Replacement",
    "Run",
    "Search",
    "Selection",
    "Source",
    "examine",
    "examined",
    "is_binary",
    "read_pieces",
]
