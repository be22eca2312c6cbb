"""Watching: what is unusual for whom, and who is told. Reads decisions, changes none."""

from agentguard.monitor.activity import Measures, Recorder
from agentguard.monitor.alert import SEVERITIES, Alert, AlertBook
from agentguard.monitor.channels import Callback, Mail, Syslog, Webhook, channel, verify_webhook
from agentguard.monitor.delivery import Channel, Deliverer
from agentguard.monitor.detector import AnomalyDetector
from agentguard.monitor.state import MonitorState

__all__ = [
    "SEVERITIES",
    "Alert",
    "AlertBook",
    "Callback",
    "Channel",
    "Deliverer",
    "Mail",
    "Measures",
    "MonitorState",
    "Recorder",
    "AnomalyDetector",
    "Syslog",
    "Webhook",
    "channel",
    "verify_webhook",
]
