"""A network that fails: a TCP proxy before a real server, which cuts or swallows what goes through it when told."""

from __future__ import annotations

import contextlib
import enum
import select
import socket
import threading

__all__ = ["Mode", "Proxy"]


class Mode(enum.Enum):
    """What the network does from now on."""

    PASS = "pass"
    # The connection is gone before, or after, the server has seen the client's COMMIT; no answer comes back.
    CUT_BEFORE_COMMIT = "cut-before-commit"
    CUT_AFTER_COMMIT = "cut-after-commit"
    # Nothing goes through any more, and nobody is told.
    SILENT = "silent"
    REFUSE = "refuse"


class Proxy:
    """Passes connections on to a port on loopback; use ``with``."""

    def __init__(self, port: int) -> None:
        self.mode = Mode.PASS
        self.cuts = 0
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._open):
            _shut(each)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.mode is Mode.REFUSE:
                _shut(client)
                continue
            server = socket.create_connection(("127.0.0.1", self._target))
            self._open += [client, server]
            threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while self._step(client, server):
                pass
        except (OSError, ValueError):
            pass
        _shut(client)
        _shut(server)

    def _step(self, client: socket.socket, server: socket.socket) -> bool:
        ready, _, _ = select.select([client, server], [], [], 0.05)
        for source in ready:
            data = source.recv(65536)
            if not data:
                return False
            mode = self.mode
            if mode is Mode.SILENT:
                continue
            committing = source is client and b"COMMIT" in data
            if committing and mode in (Mode.CUT_BEFORE_COMMIT, Mode.CUT_AFTER_COMMIT):
                self.cuts += 1
                self.mode = Mode.PASS
                if mode is Mode.CUT_AFTER_COMMIT:
                    server.sendall(data)
                    server.recv(65536)
                return False
            (server if source is client else client).sendall(data)
        return True


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
