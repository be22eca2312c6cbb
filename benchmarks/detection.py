"""Detection figures on the corpora folder that CORPORA names: the tables of ``agentguard eval``, disguises included.

The shipped model was trained on these texts and the rules were tuned with them in sight, so recall here is in sample;
``make eval-heldout`` has the figures of families left out.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from agentguard.detect.evaluation import evaluate, read_rows

FILES = ("attacks.jsonl", "benign.jsonl", "secrets.jsonl", "pii.jsonl")


def main() -> None:
    """Print every table, or that there were no corpora to read."""
    folder = os.environ.get("CORPORA")
    if not folder:
        print("Detection figures: not measured, set CORPORA to the corpora folder.", file=sys.stderr)
        return
    for table in evaluate(list(read_rows(Path(folder) / name for name in FILES)), disguises=True):
        print(table)


if __name__ == "__main__":
    main()
