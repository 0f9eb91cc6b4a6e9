"""How a command speaks to a service: JSON over HTTP, and problems told in the service's own words."""

from collections.abc import Mapping

import httpx

from cli.errors import ERROR_NUMBER, IS_IT_RUNNING, CliError

TIMEOUT_S = 30.0
CHECK_ADDRESS = "RAPPORT_INGEST_URL, RAPPORT_PROFILE_URL and so on name the services' addresses: http://host:port."


def request(
    method: str,
    url: str,
    *,
    api_key: str = "",
    write_key: str = "",
    body: object = None,
    content: bytes | None = None,
    params: Mapping[str, str] | None = None,
    allow: tuple[int, ...] = (),
) -> httpx.Response:
    """The answer, if it is a success or a status in `allow`. Raises CliError with what the service said.

    `body` travels as JSON, `content` as the CSV it is.

    An API key travels as a bearer token, a write key as the user name of Basic authentication, as the tracking SDKs send it.
    """
    auth = httpx.BasicAuth(write_key, "") if write_key else None
    headers = {b"Authorization": f"Bearer {api_key}".encode()} if api_key else {}
    if content is not None:
        headers[b"Content-Type"] = b"text/csv"
    try:
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
            answer = client.request(
                method, url, headers=headers, json=body, content=content, params=dict(params or {}), auth=auth
            )
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise CliError(f"{url} is no address of a service.", hint=CHECK_ADDRESS) from error
    except httpx.TransportError as error:
        raise CliError(f"No answer from {url}: {explain_silence(error)}", hint=IS_IT_RUNNING) from error
    if answer.is_success and not answer.headers.get("content-type", "").startswith("application/json"):
        raise CliError(f"{url} answers, but not as a service of the platform does.", hint=CHECK_ADDRESS)
    if not answer.is_success and answer.status_code not in allow:
        raise CliError(describe_problem(answer), hint=f"{method} {url} answered {answer.status_code}.")
    return answer


def explain_silence(error: httpx.TransportError) -> str:
    return "it took too long." if isinstance(error, httpx.TimeoutException) else ERROR_NUMBER.sub("", str(error))


def describe_problem(answer: httpx.Response) -> str:
    """Problem details (RFC 9457) on one line, fields included."""
    try:
        problem = answer.json()
    except ValueError:
        return answer.reason_phrase or f"status {answer.status_code}"
    if not isinstance(problem, dict):
        return str(problem)
    line = str(problem.get("detail") or problem.get("message") or problem.get("title") or answer.reason_phrase)
    fields = [
        f"{error.get('pointer')}: {error.get('detail')}" for error in problem.get("errors") or [] if isinstance(error, dict)
    ]
    return " ".join([line, *fields])
