from cli.stack_traces import condense_traces

UNKNOWN_OPTION = """\
nosuch is not a recognized option
joptsimple.UnrecognizedOptionException: nosuch is not a recognized option
\tat joptsimple.OptionException.unrecognizedOption(OptionException.java:108)
\tat joptsimple.OptionParserState$2.handleArgument(OptionParserState.java:56)

"""
UNKNOWN_GROUP = """\
java.util.concurrent.ExecutionException: org.apache.kafka.common.errors.GroupIdNotFoundException: Group g not found.
\tat java.base/java.util.concurrent.CompletableFuture.reportGet(CompletableFuture.java:396)
\t... 3 more
Caused by: org.apache.kafka.common.errors.GroupIdNotFoundException: Group g not found.
"""
LOGGED = """\
[2026-11-26 02:43:18,631] ERROR java.lang.IllegalArgumentException: Topic 'g' does not exist as expected
\tat org.apache.kafka.tools.TopicCommand.ensureTopicExists(TopicCommand.java:211)
 (org.apache.kafka.tools.TopicCommand)
"""
UNCAUGHT = """\
Exception in thread "main" java.lang.StringIndexOutOfBoundsException: begin -1, end 6, length 6
\tat kafka.tools.DumpLogSegments.main(DumpLogSegments.scala)
"""
USAGE = """\
Command must include exactly one action: --list or --delete
Option                                   Description
------                                   -----------

--alter                                  Alter the number of partitions and
                                           replica assignment.
Error: at least one option; see com.example.Tool for more
"""


def condense(text: str) -> list[str]:
    return list(condense_traces(text.splitlines(keepends=True)))


def test_an_exception_is_its_message_once() -> None:
    assert condense(UNKNOWN_OPTION) == ["nosuch is not a recognized option"]
    assert condense(UNKNOWN_GROUP) == ["Group g not found."]
    assert condense(LOGGED) == ["Topic 'g' does not exist as expected"]
    assert condense(UNCAUGHT) == ["begin -1, end 6, length 6"]


def test_all_else_stays_as_the_tool_wrote_it() -> None:
    assert condense(USAGE) == USAGE.splitlines()
