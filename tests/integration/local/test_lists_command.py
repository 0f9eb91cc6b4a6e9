"""`rapport lists` against what answers as the service does."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.support.command_line import run_command

UPLOADED = {"added": 2, "removed": 0, "unknown": {"count": 1}, "unreadable": {"count": 0}, "job_id": None}


class _Recorder(BaseHTTPRequestHandler):
    heard: list[tuple[str, str, str | None, bytes]]

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.append((self.command, self.path, self.headers["Content-Type"], body))
        is_new = self.path == "/v1/lists"
        answer = json.dumps({"code": "list_exists"} if is_new else UPLOADED).encode()
        self.send_response(409 if is_new else 200)
        self.send_header("Content-Type", "application/problem+json" if is_new else "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = _answer  # noqa: N815 - the library's name
    do_PUT = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[tuple[str, str, str | None, bytes]]]:
    recorded: list[tuple[str, str, str | None, bytes]] = []
    server = HTTPServer(("127.0.0.1", 0), type("Recorder", (_Recorder,), {"heard": recorded}))
    thread = Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("RAPPORT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RAPPORT_SEGMENTATION_URL", f"http://127.0.0.1:{server.server_port}")
    yield recorded
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("flags", "method"), [((), "POST"), (("--replace",), "PUT")])
def test_a_file_is_sent_as_it_is_to_the_list_of_its_name(
    flags: tuple[str, ...],
    method: str,
    heard: list[tuple[str, str, str | None, bytes]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "fair.csv"
    file.write_bytes(b"email:ada@example.com\nuser_id:u1\n")
    assert run_command("lists", "upload", str(file), *flags) == 0
    made, sent = heard
    assert (made[:2], json.loads(made[3])) == (("POST", "/v1/lists"), {"id": "fair", "name": "fair"})
    assert sent == (method, "/v1/lists/fair/entries", "text/csv", file.read_bytes())
    assert "2 joined, 0 left; 1 aren't known yet, 0 lines can't be read." in capsys.readouterr().err
