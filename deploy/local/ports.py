"""Which TCP ports the local stack listens on: the usual ones when they are free, others when they are taken."""

import socket
from collections.abc import Callable, Collection

HOST = "127.0.0.1"
ANY_FREE = 0


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback address now (a connection in TIME_WAIT doesn't count)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def find_free() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, ANY_FREE))
        port: int = probe.getsockname()[1]
    return port


def choose_port(
    *preferred: int,
    taken: Collection[int] = (),
    is_free: Callable[[int], bool] = is_free,
    find_free: Callable[[], int] = find_free,
) -> int:
    """The first preferred port that is free and not in `taken`, else one the system gives. `ANY_FREE` ends the preferences."""
    for port in preferred:
        if port == ANY_FREE:
            break
        if port not in taken and is_free(port):
            return port
    while (port := find_free()) in taken:
        continue
    return port
