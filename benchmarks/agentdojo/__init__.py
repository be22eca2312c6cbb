"""Does the guard stop injected orders, and do honest tasks still finish? ``make bench-agentdojo``.

AgentDojo (a package of its own, see the Makefile) holds tool environments, user tasks and injected goals, each with the
calls that reach it and a checker. A script plays the worst agent there is: it does the user's task, and as soon as a
tool result shows it an injected order it carries that out too. No model takes part, so the figures say what the guard
lets through, not what a model falls for; they are not comparable with model-in-the-loop figures.

Read ``scene`` (what a suite is), ``script`` (the agent), ``attacks`` (the texts), ``guards`` (what is compared),
``tally`` (what is counted), ``packaged`` (AgentDojo as scenes) and ``tables``, in this order.
"""
