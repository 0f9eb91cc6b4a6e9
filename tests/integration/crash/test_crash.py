"""The promise, proven: parts die by SIGKILL under load, and the end is byte for byte what a plain sequential reference says."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.integration.crash.expectation import expect_profiles
from tests.integration.crash.harness import CrashRun, canonical
from tests.integration.crash.load import make_story
from tests.support.platform import run_platform

KILLS = int(os.environ.get("RAPPORT_CRASH_KILLS", "10"))
SEED = int(os.environ.get("RAPPORT_CRASH_SEED", "1"))


@pytest.mark.timeout(600 + 30 * KILLS)
async def test_nothing_is_lost_and_nothing_counts_twice_whatever_dies(tmp_path: Path) -> None:
    story = make_story(SEED, touches=max(1500, 150 * KILLS), ends_at=datetime.now(UTC))
    with run_platform(tmp_path / "home") as platform:
        run = CrashRun(platform, story, SEED)
        await run.set_up()
        await run.tell_under_fire(KILLS)
        await run.settle()
        told = await run.read_touchpoints()
        expected = expect_profiles(told)
        nodes = {(one.kind, one.value) for touchpoint in told for one in touchpoint.identifiers}
        shown = await run.read_profiles(nodes)
        intents = await run.read_intents()
        mail = run.read_mail()
    assert run.killed.total() == KILLS
    assert story.message_ids() <= {touchpoint.message_id for touchpoint in told}, "an acknowledged touchpoint is missing"
    assert shown.keys() == expected.keys()
    for label in expected:
        assert canonical(shown[label]) == canonical(expected[label])
    assert intents == sorted(story.subscribers), "each who subscribed and allowed it, once"
    assert max(mail.values(), default=0) <= 1, "a message went out twice"
