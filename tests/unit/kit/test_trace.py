import asyncio
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kit.trace import (
    continue_trace,
    current_trace,
    current_traceparent,
    parse_traceparent,
    set_trace,
    start_trace,
    use_trace,
)

EXAMPLE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_the_example_of_the_specification() -> None:
    trace = parse_traceparent(EXAMPLE)
    assert trace is not None
    assert (trace.trace_id, trace.span_id) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert trace.traceparent == EXAMPLE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "junk",
        EXAMPLE.upper(),
        EXAMPLE + "-extra",
        EXAMPLE + "0",
        EXAMPLE.replace("00-", "ff-", 1),
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
    ],
)
def test_a_malformed_header_starts_a_new_trace(text: str) -> None:
    assert parse_traceparent(text) is None
    assert continue_trace(text).trace_id != EXAMPLE[3:35]


def test_a_later_version_may_say_more_and_goes_on_as_ours() -> None:
    trace = parse_traceparent(EXAMPLE.replace("00-", "cc-", 1) + "-what.the.future.will.be")
    assert trace is not None
    assert trace.traceparent == EXAMPLE


@given(st.text(max_size=80))
def test_no_header_whatever_breaks_it(text: str) -> None:
    trace = continue_trace(text)
    assert parse_traceparent(trace.traceparent) == trace


def test_the_callers_trace_goes_on_in_a_span_of_ours() -> None:
    trace = continue_trace(EXAMPLE)
    assert trace.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert trace.span_id != "b7ad6b7169203331"
    assert parse_traceparent(trace.traceparent) == trace


def test_whether_a_trace_is_recorded_is_the_callers_decision() -> None:
    assert continue_trace(EXAMPLE[:-2] + "00").traceparent.endswith("-00")


def test_a_block_leaves_the_outer_trace_as_it_was() -> None:
    inner = start_trace()
    before = current_trace()
    with use_trace(inner):
        assert current_traceparent() == inner.traceparent
    assert current_trace() is before


async def test_each_task_has_a_trace_of_its_own() -> None:
    async def run() -> str | None:
        set_trace(start_trace())
        await asyncio.sleep(0)
        return current_traceparent()

    assert len(set(await asyncio.gather(run(), run(), run()))) == 3
    assert current_traceparent() is None


def test_forked_processes_have_traces_of_their_own() -> None:
    program = """if True:
        import os
        from libs.kit.trace import start_trace
        for _ in range(2):
            if (child := os.fork()) == 0:
                print(start_trace().traceparent, flush=True)
                os._exit(0)
            os.waitpid(child, 0)
        print(start_trace().traceparent)
    """
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert len(set(said)) == len(said) == 3
