"""Every command, told nonsense, says so in a line and a hint, and leaves no folder behind."""

from pathlib import Path

import pytest

from tests.support.command_line import run_command

NAMES_OF_EXCEPTIONS = ("Error:", "Exception", "Errno", "Traceback")


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    return run_command(*arguments), capsys.readouterr().err


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Not there yet."""
    folder = tmp_path / "no such home"
    monkeypatch.setenv("RAPPORT_HOME", str(folder))
    for name in ("RAPPORT_KAFKA", "RAPPORT_POSTGRES", "RAPPORT_DEBUG", "INGEST_PORT", "PROFILE_PORT"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        "logs -n -5",
        "mail -n -1",
        "mail 1",
        "env -f bogus",
        "keys create x --scopes bogus",
        "keys create x --write --scopes *",
        "keys create x --kind pos",
        "keys create Bad! --write",
        "keys revoke",
        "keys revoke x --dev",
        "dlq show nobody",
        "dlq show profile nothing",
        "dlq show profile touchpoints --from -1",
        "dlq show profile touchpoints --limit 0",
        "dlq replay profile touchpoints --limit 0",
        "dlq replay profile touchpoints --offset -1",
        "kafka nosuch",
        "send track X",
        "send track X --user a --prop b",
        "send track X --user a --prop a=1e400",
        "send track X --user a --prop a=[1e400]",
        "segments preview nosuch.yaml",
        "lists upload nosuch.csv",
        "up --only kafak",
        "nosuch",
    ],
)
def test_wrong_arguments_are_told_in_a_line_and_a_hint(arguments: str, capsys: pytest.CaptureFixture[str], home: Path) -> None:
    code, said = run(arguments.split(), capsys)
    assert code in {1, 2}
    assert said.startswith("error: ")
    assert [line.partition(":")[0] for line in said.splitlines()] == ["error", "hint"]
    assert not any(name in said for name in NAMES_OF_EXCEPTIONS)
    assert not home.exists()


@pytest.mark.parametrize(
    "command", [["status"], ["logs"], ["mail", "1"], ["reset", "--yes"], ["up"], ["up", "-d"], ["keys", "list"]]
)
def test_a_home_that_is_no_folder_is_named(command: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "a file"
    file.touch()
    code, said = run([*command, "--home", str(file)], capsys)
    assert (code, said.splitlines()[0]) == (1, f"error: {file} isn't a folder.")


@pytest.mark.parametrize("command", [["up"], ["up", "-d"]])
def test_a_home_that_cannot_be_made_is_named_with_the_reason(
    command: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    home = tmp_path / "file" / "home"
    code, said = run([*command, "--home", str(home)], capsys)
    assert (code, said.splitlines()[0]) == (1, f"error: {home} can't be used: Not a directory.")
    assert "--home" in said.splitlines()[1]


@pytest.mark.parametrize(("variable", "value"), [("INGEST_PORT", "abc"), ("INGEST_PORT", "99999999"), ("RAPPORT_ENV", "moon")])
def test_up_names_the_variable_that_is_wrong_before_it_makes_anything(
    variable: str, value: str, capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    for command in (["up"], ["up", "--detach"]):
        code, said = run(command, capsys)
        assert (code, len(said.splitlines())) == (1, 2)
        assert said.startswith(f"error: {variable}")
        assert not home.exists()


def test_commands_that_only_look_make_no_folder(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    for command in (["status"], ["down"], ["env"], ["logs"], ["mail"], ["reset", "--yes"]):
        run(command, capsys)
        assert not home.exists()
    home.mkdir()
    run(["reset", "--yes"], capsys)
    assert list(home.iterdir()) == []
