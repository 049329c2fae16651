"""What stands between a client and its server, and can be taken away under them.

    relay.py NEAR FAR

Each is a port of this machine's, or a Unix socket's path.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from kit import eventually


@contextmanager
def relayed(near: object, far: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process that passes on what comes to `near`; killed at the end, if not before."""
    process = subprocess.Popen([sys.executable, __file__, str(near), str(far)])
    try:
        eventually(lambda: _listens(str(near)))
        yield process
    finally:
        process.kill()
        process.wait()


def _listens(address: str) -> bool:
    try:
        _connected(address).close()
    except OSError:
        return False
    return True


def _connected(address: str) -> socket.socket:
    family, place = _place(address)
    connected = socket.socket(family)
    try:
        connected.connect(place)
    except OSError:
        connected.close()
        raise
    return connected


def _place(address: str) -> tuple[int, str | tuple[str, int]]:
    return (socket.AF_INET, ("127.0.0.1", int(address))) if address.isdigit() else (socket.AF_UNIX, address)


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def main(near: str, far: str) -> None:
    """See above. Does not return."""
    family, place = _place(near)
    with socket.socket(family) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(place)
        server.listen(64)
        while True:
            client, _ = server.accept()
            ends = (client, _connected(far))
            for pair in (ends, ends[::-1]):
                threading.Thread(target=_pump, args=pair, daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
