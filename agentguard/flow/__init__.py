"""Information flow: an argument may be set only by somebody who was entitled to set it.

Text detectors find attacks that look like attacks; a paraphrased order looks like a document. This package asks a
question that wording cannot dodge: where did the value of this argument come from? No model is involved.

Read ``labels`` (what a policy says), ``forms`` (when two texts are the same value), ``ledger`` (what a run has read),
``origin`` (whose value is this) and ``stage`` (the verdict), in this order.
"""

from agentguard.flow.labels import ArgLabels, ToolLabels
from agentguard.flow.ledger import Ledger
from agentguard.flow.stage import Flow
from agentguard.flow.vocabulary import Vocabulary

__all__ = ["ArgLabels", "Flow", "Ledger", "ToolLabels", "Vocabulary"]
