"""The project's ``.agentguard/`` folder and its databases: SQLite files in it, or PostgreSQL for several hosts.

Guarantees: the folder is 0700, its files 0600 and ours, or it is refused; a database opens durable, with bounded waits,
an application id and a schema version, or a ``StoreError`` says what to do; no raw engine error gets out of here.
"""

from agentguard.store.engine import (
    Migration,
    begin_immediate,
    begin_snapshot,
    open_engine,
    open_state,
    storage_errors,
    store_error,
)
from agentguard.store.files import atomic_file, create_key_file, make_private_folder, move_file
from agentguard.store.home import Home, Place
from agentguard.store.postgresql import ServerUrl, drop_schema, exchange_schemas

__all__ = [
    "Home",
    "Migration",
    "Place",
    "ServerUrl",
    "atomic_file",
    "begin_immediate",
    "begin_snapshot",
    "create_key_file",
    "drop_schema",
    "exchange_schemas",
    "make_private_folder",
    "move_file",
    "open_engine",
    "open_state",
    "storage_errors",
    "store_error",
]
