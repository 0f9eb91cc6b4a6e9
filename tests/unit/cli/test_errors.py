from collections.abc import Callable

import pytest
import typer
from asyncpg.exceptions import ClientConfigurationError, InvalidAuthorizationSpecificationError, UndefinedTableError
from pydantic import ValidationError

from cli.errors import CliError, explain, run_with_errors
from cli.main import app
from deploy.local.errors import PartMissing
from libs.kit.settings import PlatformSettings


def run(command: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        run_with_errors(command)
    code = ended.value.code
    assert isinstance(code, int)
    return code, capsys.readouterr().err


def raiser(error: BaseException) -> Callable[[], object]:
    def command() -> object:
        raise error

    return command


def test_an_error_is_one_line_and_a_hint_and_never_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(raiser(CliError("No such [thing].", hint="Make one.")), capsys)
    assert (code, said) == (1, "error: No such [thing].\nhint:  Make one.\n")


def test_errors_of_the_local_stack_speak_for_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raiser(PartMissing("No Java.", hint="Get one.")), capsys)[1] == "error: No Java.\nhint:  Get one.\n"


def test_an_unexpected_error_is_named_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(raiser(RuntimeError("odd\n  thing")), capsys)
    assert code == 1
    assert said.splitlines()[0] == "error: Something unexpected happened: odd thing"
    assert "RAPPORT_DEBUG" in said.splitlines()[1]


def test_no_python_name_stands_in_an_error() -> None:
    for error in (
        KeyError(),
        OSError(5, "Input/output error", "/x"),
        UnicodeDecodeError("utf-8", b"", 0, 1, "bad"),
        FileNotFoundError(2, "x"),
    ):
        assert type(error).__name__ not in "".join(explain(error))


def test_a_setting_that_is_wrong_is_told_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_ENV", "moon")
    monkeypatch.setenv("RAPPORT_KAFKA", "nowhere")
    with pytest.raises(ValidationError) as refused:
        PlatformSettings()
    assert explain(refused.value)[0] == (
        "RAPPORT_ENV: Input should be 'local', 'test' or 'production'; "
        "RAPPORT_KAFKA: servers are written host:port, with commas between them"
    )


def test_a_database_tells_a_refusal_from_an_unprepared_schema_and_a_wrong_address() -> None:
    refused = explain(InvalidAuthorizationSpecificationError('role "x" does not exist'))
    assert refused == ('PostgreSQL refused: role "x" does not exist.', "Check RAPPORT_POSTGRES.")
    assert "rapport migrate" in explain(UndefinedTableError('relation "access.api_keys" does not exist'))[1]
    assert explain(ClientConfigurationError("invalid DSN"))[0] == "RAPPORT_POSTGRES doesn't lead to a database: invalid DSN."


def test_a_refused_connection_asks_whether_the_platform_runs() -> None:
    line, hint = explain(ConnectionRefusedError(111, "refused"))
    assert (line, "rapport up" in hint) == ("No connection: refused", True)
    assert "rapport up" in explain(TimeoutError())[1]


def test_an_interrupt_and_a_declined_question_end_quietly(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raiser(KeyboardInterrupt()), capsys) == (130, "Stopped.\n")
    assert run(raiser(typer.Abort()), capsys) == (130, "Stopped.\n")


def test_the_exit_code_of_a_command_is_that_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda: 3, capsys)[0] == 3
    assert run(lambda: None, capsys)[0] == 0


def test_a_misspelt_command_is_told_with_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(lambda: app(["upp"], standalone_mode=False), capsys)
    assert code == 2
    assert "'up'" in said


def test_commands_fail_in_one_line_where_nothing_runs(
    capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = str(tmp_path_factory.mktemp("empty"))
    for arguments in (["status"], ["env"], ["logs"]):
        code, said = run(lambda arguments=arguments: app([*arguments, "--home", home], standalone_mode=False), capsys)
        assert code == 1
        assert said.startswith("error: ")
        assert len(said.splitlines()) == 2
