"""Imports over HTTP: the upload, the commands, and following a job through restarts of the service."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx

from cli.addresses import Endpoints
from cli.errors import CliError
from cli.http_client import describe_problem

IMPORTS = "/v1/imports"
POLL_S = 0.5
PATIENCE_S = 120.0
"""How long ingest may be away while its job is followed: a restart takes seconds."""
AT_REST = frozenset({"paused", "succeeded", "failed", "cancelled"})
_TIMEOUT = httpx.Timeout(30, read=900, write=120)
"""The answer to an upload comes when the file is stored."""


class ImportsClient:
    """A context. Raises CliError with what the service said."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._write_key = endpoints.write_key
        self._http = httpx.Client(
            base_url=endpoints.url("ingest"),
            headers={"Authorization": f"Bearer {endpoints.api_key}"},
            timeout=_TIMEOUT,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def upload(self, file: Path, form: dict[str, str], *, preview: bool = False) -> dict[str, Any]:
        """`form` without a source: the one of our write key."""
        headers = {} if "source" in form else {"X-Write-Key": self._write_key}
        with file.open("rb") as opened:
            parts = {"file": (file.name, opened, "application/octet-stream")}
            return self._read(
                self._http.post(f"{IMPORTS}/preview" if preview else IMPORTS, data=form, files=parts, headers=headers)
            )

    def get(self, import_id: str) -> dict[str, Any]:
        return self._read(self._http.get(f"{IMPORTS}/{import_id}"))

    def command(self, import_id: str, verb: str) -> dict[str, Any]:
        return self._read(self._http.post(f"{IMPORTS}/{import_id}/{verb}"))

    def follow(self, import_id: str) -> Iterator[dict[str, Any]]:
        """Its state, again and again, until it is at rest. A service that restarts meanwhile is waited for."""
        asked_s = time.monotonic()
        while True:
            answer = self._ask(import_id)
            if answer is not None:
                asked_s = time.monotonic()
                shown = self._read(answer)
                yield shown
                if shown["state"] in AT_REST:
                    return
            elif time.monotonic() - asked_s > PATIENCE_S:
                raise CliError(
                    "Ingest doesn't answer any more.",
                    hint="The import goes on by itself once it runs again; run the same command to see.",
                )
            time.sleep(POLL_S)

    def _ask(self, import_id: str) -> httpx.Response | None:
        """None while the service is away."""
        try:
            answer = self._http.get(f"{IMPORTS}/{import_id}", timeout=10)
        except httpx.TransportError:
            return None
        return None if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR else answer

    def save_errors(self, import_id: str, target: Path) -> None:
        """As CSV or NDJSON, by the file's name."""
        form = "csv" if target.suffix == ".csv" else "ndjson"
        where = f"{IMPORTS}/{import_id}/errors"
        with self._http.stream("GET", where, params={"format": form}) as answer, target.open("wb") as file:
            if not answer.is_success:
                answer.read()
                self._read(answer)
            for chunk in answer.iter_bytes():
                file.write(chunk)

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        if not answer.is_success:
            raise CliError(describe_problem(answer), hint=f"{answer.request.url.path} answered {answer.status_code}.")
        shown: dict[str, Any] = answer.json()
        return shown
