"""``python -m agentguard``: the command line without its installed script."""

from agentguard.cli import main

main()
