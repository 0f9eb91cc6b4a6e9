"""How `rapport restart` asks the supervisor, which is another process: a file with the wish, and one with what became of it."""

from pathlib import Path

from deploy.local.records import write_json

_DONE = ""


def _folder(home: Path) -> Path:
    return home / "run" / "restarts"


def ask(home: Path, name: str) -> None:
    _answer_path(home, name).unlink(missing_ok=True)
    write_json(_folder(home) / f"{name}.wish", name)


def take_wishes(home: Path) -> list[str]:
    """Names asked for since the last look; each is given once."""
    wishes = sorted(_folder(home).glob("*.wish"))
    for wish in wishes:
        wish.unlink(missing_ok=True)
    return [wish.stem for wish in wishes]


def answer(home: Path, name: str, failure: str = _DONE) -> None:
    """`failure` says in a line why it didn't work; empty: it did."""
    path = _answer_path(home, name)
    draft = path.with_suffix(".draft")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft.write_text(failure, encoding="utf-8")
    draft.replace(path)


def read_answer(home: Path, name: str) -> str | None:
    """None while there is none."""
    try:
        return _answer_path(home, name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _answer_path(home: Path, name: str) -> Path:
    return _folder(home) / f"{name}.answer"
