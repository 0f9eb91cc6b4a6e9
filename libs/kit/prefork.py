"""Several processes of one service on one socket, forked from one that has imported everything, so that they share its memory.

They begin and end together: children stop when a pipe from their parent ends, which it does when the parent is told to stop, when
one of them ends unasked, and when the parent is killed. It isn't a signal: whoever stops a service may send one to each of its
processes (systemd does), and a child takes a second one for "at once".
"""

import gc
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from libs.kit.logging import get_logger
from libs.kit.metrics import forget_process
from libs.kit.settings import SHARED_METRICS_VARIABLE, build_environment, find_shared_metrics

_log = get_logger(__name__)
_TOLD = frozenset({signal.SIGTERM, signal.SIGINT})
_EXIT_FAILED = 1
_FOLDER = "rapport-metrics-"

_parent: int | None = None
_lifeline: int | None = None


def main_pid() -> int:
    """The process that whoever started the service knows: the parent of forked ones."""
    return _parent or os.getpid()


def lifeline() -> int | None:
    """In a forked process: a file descriptor that is readable, at its end, when the parent wants it to stop, or is gone."""
    return _lifeline


def begin_again_with_shared_metrics() -> None:
    """Execute the same command anew where metrics aren't shared yet: how they are kept is fixed when they are made.

    The files are one folder's, which `run_processes` removes.
    """
    if find_shared_metrics() is None:
        environment = build_environment({SHARED_METRICS_VARIABLE: tempfile.mkdtemp(prefix=_FOLDER)})
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606 - the same command


def run_processes(count: int, run: Callable[[int], int], listener: socket.socket) -> int:
    """`run(number)` in so many forked processes. 0 if all were told to stop and ended well, else the highest of their exit codes.

    Call it with no other thread and no connection open. The parent's copy of `listener` is closed: clients that come while the
    children finish would wait in it for nobody.
    """
    gc.collect()
    gc.freeze()
    # A signal that comes between two steps waits until it is asked for.
    signal.pthread_sigmask(signal.SIG_BLOCK, _TOLD | {signal.SIGCHLD})
    alive_end, held_end = os.pipe()
    children: set[int] = set()
    for number in range(count):
        child = os.fork()
        if child == 0:
            os.close(held_end)
            _be_child(alive_end, run, number)
        children.add(child)
    listener.close()
    os.close(alive_end)
    try:
        with os.fdopen(held_end, "wb") as held:
            return _watch(children, held)
    finally:
        _remove_metrics()


def _remove_metrics() -> None:
    folder = Path(find_shared_metrics() or "")
    if folder.name.startswith(_FOLDER):  # a folder that somebody else chose is theirs
        shutil.rmtree(folder, ignore_errors=True)


def _be_child(alive_end: int, run: Callable[[int], int], number: int) -> None:
    global _parent, _lifeline
    _parent, _lifeline = os.getppid(), alive_end
    # Ctrl-C reaches all of a terminal's processes, and may be said twice; what ends a child is its parent's word.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _TOLD | {signal.SIGCHLD})
    code = _EXIT_FAILED
    try:
        code = run(number)
    except Exception:  # noqa: BLE001 - nothing comes after it that could tell
        _log.critical("process_failed", exc_info=True)
    finally:
        if os.getppid() != _parent:
            _log.error("parent_ended")
            _remove_metrics()
        sys.stderr.flush()
        os._exit(code)


def _watch(children: set[int], held: BinaryIO) -> int:
    """The exit code, once all have ended. The end of `held` is the first word to them; a second signal leaves them no time."""
    code = 0
    is_told = False
    while children:
        number = signal.sigwait(_TOLD | {signal.SIGCHLD})
        if number in _TOLD:
            if is_told:
                _log.warning("stopped_at_once", signal=signal.Signals(number).name)
                _kill(children)
            is_told = True
            held.close()
            continue
        ended = dict(_reap(children))
        children -= ended.keys()
        code = max([code, *(ended_with if ended_with >= 0 else _EXIT_FAILED for ended_with in ended.values())])
        if ended and not held.closed:
            code = max(code, _EXIT_FAILED)
            _log.error("process_ended_unasked", codes=sorted(ended.values()))
            held.close()
    return code


def _reap(children: Iterable[int]) -> Iterable[tuple[int, int]]:
    """Pid and exit code of those that have ended."""
    for pid in children:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            forget_process(pid)
            yield pid, os.waitstatus_to_exitcode(status)


def _kill(children: Iterable[int]) -> None:
    for pid in children:
        os.kill(pid, signal.SIGKILL)  # SIGTERM, if it is its first, is no more than a request
