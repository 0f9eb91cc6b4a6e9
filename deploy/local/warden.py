"""Ends the stack's processes when the one that started them is gone, however it went.

Runs as a process of its own and reads lines from its standard input: `watch PID CREATED SIGNAL`. The starter holds the other end
of that pipe; its death, even by kill -9, closes it, and then everything still alive is told to stop, newest first. Started by its
path, so it imports nothing of this project.
"""

import contextlib
import os
import signal
import sys
from dataclasses import dataclass

import psutil

PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Watched:
    process: psutil.Process
    stop_signal: int


def parse_line(line: str, watched: dict[int, Watched]) -> None:
    match line.split():
        case ["watch", pid, created, stop_signal]:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(int(pid))
                if abs(process.create_time() - float(created)) < 1.0:
                    watched[int(pid)] = Watched(process, int(stop_signal))
        case _:
            pass


def is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def end_all(watched: dict[int, Watched]) -> None:
    """Ask each to stop, newest first, with its own signal; then end by force what is left, children included."""
    family = [child for entry in watched.values() if is_alive(entry.process) for child in entry.process.children(recursive=True)]
    for entry in reversed(watched.values()):
        if is_alive(entry.process):
            with contextlib.suppress(psutil.Error):
                entry.process.send_signal(entry.stop_signal)
    processes = [entry.process for entry in watched.values()]
    psutil.wait_procs(processes, timeout=PATIENCE_S)
    for process in (*processes, *family):
        if is_alive(process):
            with contextlib.suppress(psutil.Error):
                process.kill()


def main() -> None:
    # A Ctrl-C in the starter's terminal is the starter's to handle; the warden waits for its end.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    watched: dict[int, Watched] = {}
    for line in sys.stdin:
        parse_line(line, watched)
    end_all(watched)
    os._exit(0)


if __name__ == "__main__":
    main()
