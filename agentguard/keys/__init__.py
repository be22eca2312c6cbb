"""Key sources, key wrapping, authenticated encryption of values and files, and the vault of API keys.

A key encryption key (KEK) comes from a ``KeySource`` and wraps data encryption keys; every key has a 32-byte
commitment as its id, so that a ciphertext cannot be made to open under two keys.
"""

from agentguard.keys.encryption import DataEncryption
from agentguard.keys.envelope import DataKey, commitment, unwrap, wrap
from agentguard.keys.keyring import DataKeyEntry, DataKeyring, rewrap_data_keys
from agentguard.keys.password import Argon2Cost
from agentguard.keys.source import (
    KeyFile,
    KeySource,
    MasterPassword,
    RotatingKeySource,
    create_password_key,
    home_keys,
    next_path,
)
from agentguard.keys.vault import KeyAccess, KeyReport, KeyVault

__all__ = [
    "Argon2Cost",
    "DataEncryption",
    "DataKey",
    "DataKeyEntry",
    "DataKeyring",
    "KeyAccess",
    "KeyFile",
    "KeyReport",
    "KeySource",
    "KeyVault",
    "MasterPassword",
    "RotatingKeySource",
    "commitment",
    "create_password_key",
    "home_keys",
    "next_path",
    "rewrap_data_keys",
    "unwrap",
    "wrap",
]
