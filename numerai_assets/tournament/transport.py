"""All requests are sent here: bounded in time, and retried where that is safe.

numerapi waits without limit for an answer to GraphQL, and turns every network failure into an empty answer. Here each request
has a limit between two pieces of the answer and a limit in total, and each failure keeps its name.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

import requests
import urllib3
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from numerai_assets.errors import NumeraiAssetsError, Unreachable
from numerai_assets.settings import Network

T = TypeVar("T")

_CHUNK_BYTES = 1 << 20
# A transfer slower than this over the whole time limit counts as stalled.
_SLOWEST_BYTES_PER_SECOND = 1_000
_LONGEST_WAIT_SECONDS = 60.0


def request(
    method: str, url: str, network: Network, *, headers: dict[str, str] | None = None, **options: Any
) -> requests.Response:
    """The answer to one request, of any status, received whole within three times the timeout of `network`.

    The timeout bounds connecting and each wait for more bytes. Raises Unreachable when no usable answer came.
    """
    seconds = 3 * network.timeout_seconds
    until = time.monotonic() + seconds
    with streamed(method, url, network, headers=headers, **options) as answer:
        content = bytearray()
        for chunk in chunks(answer, network):
            content += chunk
            if time.monotonic() > until:
                raise Unreachable(f"no whole answer within {seconds:.0f} s")
        answer._content = bytes(content)
    return answer


@contextmanager
def streamed(
    method: str, url: str, network: Network, *, headers: dict[str, str] | None = None, **options: Any
) -> Iterator[requests.Response]:
    """An answer whose body is still to be read, by `chunks`. Raises Unreachable when none begins within three times
    the timeout, and for a redirection of anything but a GET or HEAD."""
    asked = {"Accept-Encoding": "identity", **(headers or {})}

    def begin() -> requests.Response:
        return requests.request(
            method,
            url,
            headers=asked,
            stream=True,
            timeout=(network.timeout_seconds, network.timeout_seconds),
            # An `auth` of our own, though it does nothing: without one, requests lets ~/.netrc replace the API keys.
            auth=_as_is,
            # Followed, a POST or PUT would become a GET, and ~/.netrc would replace the keys after all.
            allow_redirects=method in ("GET", "HEAD"),
            **options,
        )

    try:
        with _within(3 * network.timeout_seconds, begin) as answer:
            if answer.is_redirect:
                raise Unreachable(f"answered {answer.status_code} {answer.reason}, a redirection that is not followed")
            yield answer
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise Unreachable(type(error).__name__) from None


def _within(seconds: float, begin: Callable[[], requests.Response]) -> requests.Response:
    """The result of `begin` within `seconds`. The timeout of requests bounds each piece of the headers, not their total."""
    promise: Future[requests.Response] = Future()

    def keep() -> None:
        try:
            promise.set_result(begin())
        except Exception as error:  # noqa: BLE001 - raised again by the waiting thread
            promise.set_exception(error)

    threading.Thread(target=keep, daemon=True).start()
    try:
        return promise.result(seconds)
    except TimeoutError:
        raise Unreachable(f"no answer began within {seconds:.0f} s") from None


def chunks(answer: requests.Response, network: Network) -> Iterator[bytes]:
    """The body piece by piece, as it comes. Raises Unreachable when it breaks off, stalls, trickles or is compressed:
    compression was not asked for, and the length of a compressed body proves nothing."""
    if answer.request.method == "HEAD" or answer.status_code in (204, 304):
        return
    if (encoding := answer.headers.get("Content-Encoding", "identity")) != "identity":
        raise Unreachable(f"the answer is {encoding}-compressed")
    since, came = time.monotonic(), 0
    try:
        while chunk := answer.raw.read1(_CHUNK_BYTES):
            came += len(chunk)
            elapsed = time.monotonic() - since
            if elapsed > network.timeout_seconds:
                if came < _SLOWEST_BYTES_PER_SECOND * elapsed:
                    raise Unreachable(f"only {came:,} bytes came in {elapsed:.0f} s")
                since, came = time.monotonic(), 0
            yield chunk
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unreachable(type(error).__name__) from None


def persistently(call: Callable[[], T], network: Network, *, on: type[NumeraiAssetsError] = Unreachable) -> T:
    """The result of `call`, repeated while it raises `on`, at most `network.attempts` times; for idempotent calls only.

    Waits double from `network.retry_seconds`, with jitter, up to a minute; a Retry-After of the server is respected.
    """
    retrying = Retrying(
        stop=stop_after_attempt(network.attempts),
        wait=lambda state: _wait_seconds(state, network.retry_seconds),
        retry=retry_if_exception_type(on),
        reraise=True,
    )
    return retrying(call)


def retry_after_seconds(answer: requests.Response) -> float | None:
    """The server's Retry-After where it is a number of seconds."""
    stated = answer.headers.get("Retry-After", "")
    return float(stated) if stated.isdecimal() else None


def _wait_seconds(state: RetryCallState, base_seconds: float) -> float:
    error = state.outcome.exception() if state.outcome else None
    stated: float | None = getattr(error, "retry_after", None)
    if stated is not None:
        return min(stated, _LONGEST_WAIT_SECONDS)
    grown: float = base_seconds * 2.0 ** (state.attempt_number - 1)
    return min(grown * random.uniform(0.5, 1.5), _LONGEST_WAIT_SECONDS)


def _as_is(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    return prepared
