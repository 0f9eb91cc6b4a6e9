import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.identity import IdentityKey, IdentityKeyInvalid, load_or_create_key

HEX = "00112233445566778899aabbccddeeff" * 2
KEY = IdentityKey.from_hex(HEX)
PART = st.text(alphabet="ab:\x1f0", max_size=4)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_fragment_id_is_fixed_for_ever() -> None:
    assert str(KEY.fragment_id("email", "ada@example.com")) == "8b32086e-8f21-8f4c-872e-5a3f2b6d6f48"
    assert KEY.work_out_fragment_id("email", "ada@example.com") == KEY.fragment_id("email", "ada@example.com")
    assert str(KEY.fragment_id("email", "ada@example.com", 1)) == "3bd11f97-f651-8308-a498-dd48c21bf1a2"
    assert KEY.fingerprint == "9705f130c56c7ff33c652f7e351f3025"


@given(PART, PART, st.integers(0, 3), PART, PART, st.integers(0, 3))
def test_different_identifiers_never_share_a_fragment(
    kind: str, value: str, epoch: int, kind2: str, value2: str, epoch2: int
) -> None:
    same = (kind, value, epoch) == (kind2, value2, epoch2)
    assert (KEY.fragment_id(kind, value, epoch) == KEY.fragment_id(kind2, value2, epoch2)) is same


@given(st.text(max_size=8).filter(str.isprintable), st.integers(0, 2**32 - 1))
def test_a_fragment_id_has_the_bits_of_uuid_version_8(value: str, epoch: int) -> None:
    fragment = KEY.fragment_id("user_id", value, epoch)
    assert fragment.version == 8
    assert fragment.variant == "specified in RFC 4122"


def test_another_key_gives_other_fragments_and_another_fingerprint() -> None:
    other = IdentityKey(bytes(32))
    assert other.fragment_id("user_id", "u1") != KEY.fragment_id("user_id", "u1")
    assert other.fingerprint != KEY.fingerprint


@pytest.mark.parametrize("text", ["", "xyz", "00" * 15, "00" * 65, "0"])
def test_what_is_no_key_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(IdentityKeyInvalid) as refusal:
        IdentityKey.from_hex(text)
    assert refusal.value.__cause__ is None
    assert text == "" or f" {text}" not in str(refusal.value)


def test_a_key_is_never_shown() -> None:
    assert HEX[:8] not in repr(KEY)


def test_the_first_start_makes_a_key_that_later_starts_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = load_or_create_key(home, None)
    again = load_or_create_key(home, None)
    assert first.fingerprint == again.fingerprint
    assert stat.S_IMODE((home / "identity.key").stat().st_mode) == 0o600
    assert names_in(home) == ["identity.key"]


def test_the_environment_wins_and_leaves_no_file(tmp_path: Path) -> None:
    assert load_or_create_key(tmp_path, HEX).fingerprint == KEY.fingerprint
    assert names_in(tmp_path) == []


def test_processes_that_start_at_once_get_the_same_key(tmp_path: Path) -> None:
    for attempt in range(20):
        home = tmp_path / str(attempt)
        with ThreadPoolExecutor(8) as pool:
            keys = list(pool.map(lambda _, home=home: load_or_create_key(home, None).fingerprint, range(8)))
        assert len(set(keys)) == 1
        assert names_in(home) == ["identity.key"]


def test_a_spoilt_key_file_stops_the_start_instead_of_being_replaced(tmp_path: Path) -> None:
    (tmp_path / "identity.key").write_text("oops")
    with pytest.raises(IdentityKeyInvalid):
        load_or_create_key(tmp_path, None)
