"""The promise, proven: parts die by SIGKILL under load, and the end is byte for byte what a plain sequential reference says."""

import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.integration.crash.expectation import (
    expect_profiles,
    expect_timeline,
    expected_members,
    follow_journal,
    read_label,
)
from tests.integration.crash.harness import CrashRun, canonical
from tests.integration.crash.load import make_story
from tests.support.platform import run_platform
from tests.support.profile_lives import assert_equal
from tests.support.profile_tables import read_tables

KILLS = int(os.environ.get("RAPPORT_CRASH_KILLS", "10"))
TOUCHES = 1_500 if KILLS <= 10 else 4_000 * KILLS
SEED = int(os.environ.get("RAPPORT_CRASH_SEED", "1"))


@pytest.mark.timeout(600 + 60 * KILLS)
async def test_nothing_is_lost_and_nothing_counts_twice_whatever_dies(tmp_path: Path) -> None:
    story = make_story(SEED, touches=TOUCHES, ends_at=datetime.now(UTC))
    with run_platform(tmp_path / "home") as platform:
        run = CrashRun(platform, story, SEED, settle_s=180.0 + 10 * KILLS, workers=1 if KILLS <= 10 else 2)
        try:
            await run.set_up()
            await run.tell_under_fire(KILLS)
            await run.settle()
        finally:
            run.crew.disband()
        told = await run.read_touchpoints()
        store = await read_tables(run.fetch)
        assert {row.command_id for row in store.history.values() if row.command_id is not None} == run.commands.keys()
        plain = follow_journal(store, run.commands, run.lifted)
        assert_equal(store, plain)
        expected = expect_profiles(plain)
        nodes = {(one["kind"], one["value"]) for profile in expected.values() for one in profile["identifiers"]}
        shown = await run.read_profiles(nodes, expected_members(expected))
        timelines = {label: await run.read_timeline(*read_label(label)) for label in list(expected)[::20]}
        intents = await run.read_intents()
        mail = run.read_mail()
    assert run.killed.total() == KILLS
    assert story.message_ids() <= {touchpoint.message_id for touchpoint in told}, "an acknowledged touchpoint is missing"
    assert {touchpoint.id for touchpoint in told} == store.timeline.keys()
    assert shown.keys() == expected.keys()
    for label in expected:
        assert canonical(shown[label]) == canonical(expected[label])
    for label, ids in timelines.items():
        assert ids == expect_timeline(plain, read_label(label)[1])
    assert intents == sorted(story.subscribers), "each who subscribed and allowed it, once"
    assert max(mail.values(), default=0) <= 1, "a message went out twice"
    moves = Counter(type(move).__name__ for move in run.commands.values())
    assert moves.keys() == {"Merge", "Split"}
    assert run.lifted
    assert store.refusals
