"""``python -m agentguard.cli``: the command line without its installed script."""

from agentguard.cli import main

if __name__ == "__main__":
    main()
