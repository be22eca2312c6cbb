"""The policy that ``agentguard init`` writes: it loads as it stands and permits no tool."""

__all__ = ["STARTER_POLICY"]

STARTER_POLICY = """\
# AgentGuard policy. What is not permitted here is refused: as it stands, no tool may run.
# Unknown keys, names and words are load errors with line and column, so nothing here is silently ignored.
version: 1

# enforce: decide and hold to it. shadow: decide and record, change nothing; the safe way to adopt.
mode: enforce

# Tools that may exist at all. Everything else is refused.
#   side_effect: read | write | send | destructive | money | access
#   output:      trusted | mixed | untrusted (the default: strangers may have written what the tool returns)
tools: {}
#  web_search: {side_effect: read}
#  contacts.lookup: {side_effect: read, output: trusted}
#  send_email:
#    side_effect: send
#    args:
#      to: {sink: recipient, sources: [user, contacts.lookup], allow: ["*@example.com"], required: true}
#      body: {content: true, max_length: 20000, redact: [secret]}
#    extra_args: deny            # an argument without a row is refused
#    approval: when-untrusted    # never | always | when-untrusted
#    rate: 5/minute

# Roles name the tools they permit; deny wins over every permission of every role. Globs (* and ?) work here,
# and in args.allow and args.deny, nowhere else.
#   permissions: read_data, write_data, execute_agent, manage_agents, view_logs, admin
roles: {}
#  reader: {permissions: [read_data, execute_agent], tools: [web_search, "contacts.*"]}
#  writer: {inherits: [reader], tools: [send_email], deny: ["delete_*"]}

# Agents, by the id of their verified identity.
agents: {}
#  researcher: {roles: [reader], may_message: [editor]}
#  editor: {roles: [writer]}

# What models are handed. Lengths in characters. For injection: block | strip | quarantine | report | "off" (quoted).
input:
  max_length: 10000
  tool_result_max: 1000000
  injection: {user: block, tool: strip, agent: strip, threshold: balanced}
  unicode: strip
  redact: [secret]

# What models answer. With markup on, links and images may point to allow_hosts only; while that list is empty no
# outside image is accepted, and a link only when its address carries nothing out.
output:
  max_length: 100000
  redact: [secret, pii]
  markup: block
  allow_hosts: []

# Limits per agent and user. default is for each tool without a rate of its own.
rates:
  model: 60/minute
  default: 60/minute

# digest keeps no payload text in the log; full keeps it, encrypted. closed: what cannot be recorded does not happen.
audit: {payloads: digest, fail: closed}
"""
