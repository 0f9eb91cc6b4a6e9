"""How root runs a program that refuses to run as root (PostgreSQL does): as `nobody`, with the right to reach its own files.

Nothing on the machine is changed: no user is added, no folder above the data is opened up. The capability that lets the process
reach a home below a closed folder (/root, a CI workspace) stays with that process and its children.
"""

import os
import pwd
import shutil
from collections.abc import Sequence
from pathlib import Path

from deploy.local.errors import PartMissing

_CAPABILITIES = "+dac_override,+dac_read_search"


def is_root() -> bool:
    return os.geteuid() == 0


def build_prefix() -> list[str]:
    """What to put before a command: nothing for an ordinary user, `setpriv ...` for root."""
    if not is_root():
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise PartMissing(
            "PostgreSQL refuses to run as root, and there is no `setpriv` to run it as another user.",
            hint="Run as an ordinary user, or install util-linux.",
        )
    nobody = pwd.getpwnam("nobody")
    return [
        setpriv,
        f"--reuid={nobody.pw_uid}",
        f"--regid={nobody.pw_gid}",
        "--clear-groups",
        f"--inh-caps={_CAPABILITIES}",
        f"--ambient-caps={_CAPABILITIES}",
        "--",
    ]


def hand_over(folder: Path) -> None:
    """Make `folder` and all below it the property of the user that `build_prefix` switches to."""
    if not is_root():
        return
    nobody = pwd.getpwnam("nobody")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)


def run_as_owner(command: Sequence[str]) -> list[str]:
    return [*build_prefix(), *command]
