"""A home may be called anything a folder can be called."""

from pathlib import Path

from cli.commands.platform import LOCAL_DATA
from deploy import local


def test_a_home_with_spaces_and_letters_of_any_alphabet_holds_all_its_data(tmp_path: Path) -> None:
    home = tmp_path / "my hóme 家"
    with local.start(home, ports={"kafka": 0, "postgres": 0, "redis": 0, "mail": 0}) as stack:
        assert all(part.is_running for part in stack.parts.values())
    assert list(tmp_path.iterdir()) == [home]
    assert {entry.name for entry in home.iterdir()} <= set(LOCAL_DATA)
