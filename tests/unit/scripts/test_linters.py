from scripts.linters.__main__ import check_text


def messages(path: str, text: str) -> list[str]:
    return [finding.message for finding in check_text(path, text)]


def test_a_commit_in_a_store_is_found() -> None:
    assert "commit()" in messages("services/profile/store/graph.py", "async def save(tx):\n    await tx.commit()\n")[0]


def test_a_transaction_opened_by_a_handler_is_found() -> None:
    text = "async def merge(database):\n    async with database.transaction() as tx:\n        pass\n"
    assert "database.transaction()" in messages("services/profile/handlers.py", text)[0]


def test_a_savepoint_in_a_handler_is_fine() -> None:
    assert (
        messages("services/profile/handlers.py", "async def merge(tx):\n    async with tx.transaction():\n        pass\n") == []
    )


def test_an_edge_may_open_transactions() -> None:
    assert (
        messages("services/profile/api.py", "async def route(database):\n    async with database.transaction():\n        pass\n")
        == []
    )


def test_clocks_ids_and_chance_in_the_domain_are_found() -> None:
    for call in (
        "datetime.now(UTC)",
        "datetime.datetime.now()",
        "time.monotonic()",
        "uuid4()",
        "uuid.uuid4()",
        "random.choice([1])",
    ):
        assert len(messages("services/loyalty/domain/ledger.py", f"value = {call}\n")) == 1, call


def test_a_clock_that_was_handed_in_is_fine() -> None:
    assert messages("services/loyalty/handlers.py", "def earn(clock):\n    return clock.now()\n") == []


def test_time_is_free_outside_the_domain() -> None:
    assert messages("services/loyalty/main.py", "import time\nstarted = time.monotonic()\n") == []


def test_a_stray_utils_is_found_as_a_file_and_as_a_folder() -> None:
    assert len(messages("libs/kit/utils.py", "")) == 1
    assert len(messages("libs/kit/utils/text.py", "")) == 1


def test_long_files_and_long_functions_are_found() -> None:
    assert len(messages("libs/kit/text.py", "x = 1\n" * 451)) == 1
    assert len(messages("libs/kit/text.py", "def f():\n" + "    x = 1\n" * 70)) == 1
    assert messages("services/profile/migrations/0001.py", "x = 1\n" * 451) == []


def test_sleeps_and_patches_in_tests_are_found_but_giving_way_is_fine() -> None:
    assert len(messages("tests/integration/test_x.py", "def test_x():\n    time.sleep(1)\n")) == 1
    assert (
        len(messages("tests/integration/test_x.py", "async def test_x():\n    if True:\n        await asyncio.sleep(1)\n")) == 1
    )
    assert messages("tests/unit/test_x.py", "async def test_f():\n    await asyncio.sleep(0)\n") == []
    assert len(messages("tests/unit/test_x.py", "monkeypatch.setattr(a, 'b', 1)\n")) == 1


def test_the_environment_is_read_in_settings_only() -> None:
    assert len(messages("libs/kit/db.py", "import os\nx = os.environ['A']\n")) == 1
    assert messages("services/ingest/settings.py", "import os\nx = os.environ['A']\n") == []
    assert messages("cli/main.py", "import os\nx = os.environ['A']\n") == []


def test_a_fake_may_take_its_time() -> None:
    text = "async def test_x():\n    async def slow():\n        await asyncio.sleep(1)\n    call(lambda: asyncio.sleep(1))\n"
    assert messages("tests/unit/test_x.py", text) == []


def test_an_exception_needs_a_reason_on_its_line() -> None:
    text = (
        "async def fill(database):\n    async with database.transaction():  # house: a job commits step by step\n        pass\n"
    )
    assert messages("services/segmentation/handlers.py", text) == []
