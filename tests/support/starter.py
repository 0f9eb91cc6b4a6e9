"""Run as a program: starts Redis and PostgreSQL, tells their process ids and waits to be killed."""

import signal
import sys
from pathlib import Path

from deploy.local import start


def main() -> None:
    stack = start(Path(sys.argv[1]), only=("postgres", "redis"), ports={"postgres": 0, "redis": 0})
    pids = [*(part.pid for part in stack.parts.values()), stack.warden_pid]
    sys.stdout.write(" ".join(map(str, pids)) + "\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    main()
