"""Key sources, key wrapping and authenticated encryption of values and files.

A key encryption key (KEK) comes from a ``KeySource`` and wraps data encryption keys; every key has a 32-byte
commitment as its id, so that a ciphertext cannot be made to open under two keys.
"""

from agentguard.keys.encryption import DataEncryption
from agentguard.keys.envelope import DataKey, commitment, unwrap, wrap
from agentguard.keys.source import (
    KeyFile,
    KeySource,
    MasterPassword,
    RotatingKeySource,
    create_password_key,
    home_keys,
    next_path,
)

__all__ = [
    "DataEncryption",
    "DataKey",
    "KeyFile",
    "KeySource",
    "MasterPassword",
    "RotatingKeySource",
    "commitment",
    "create_password_key",
    "home_keys",
    "next_path",
    "unwrap",
    "wrap",
]
