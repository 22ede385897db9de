"""The only client of the tournament: numerapi, for Numerai or the sandbox, with clear errors.

numerapi answers an outage with `KeyError('data')` and every refusal with `ValueError`, and waits without limit; here its
requests go through `transport` and its failures become errors that say what to do. The clock is the server's own (the
Date header), so a wrong local clock cannot miss a deadline.
"""

import datetime as dt
import email.utils
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numerapi
import requests

from numerai_assets.eras import era_on
from numerai_assets.errors import AuthenticationError, RoundClosedError, TournamentError, Unreachable
from numerai_assets.settings import Network, Settings
from numerai_assets.tournament import transport

TOURNAMENT = 8
NUMERAI_URL = "https://api-tournament.numer.ai"
# Keys of the local tournament; public by design, so that real keys are never sent to it.
SANDBOX_KEYS = ("SANDBOX", "sandbox")

T = TypeVar("T")

_ROUND_FIELDS = "number openTime closeStakingTime dataDatestamp"


@dataclass(frozen=True)
class Round:
    """A round that accepts submissions until `closes`. Times are UTC; `data_day` is the market close of its data."""

    number: int
    opens: dt.datetime
    closes: dt.datetime
    data_day: dt.date

    @property
    def is_weekend(self) -> bool:
        return self.opens.weekday() == 5

    @property
    def era(self) -> int:
        """Newest era at the data's date: the live rows of a weekend round later become this era."""
        return era_on(self.data_day)

    def is_open(self, now: dt.datetime) -> bool:
        return self.opens <= now < self.closes


class BoundedNumerAPI(numerapi.NumerAPI):
    """numerapi with a time limit on every request, one attempt, and a reason where no usable answer comes."""

    def __init__(self, url: str, network: Network, keys: tuple[str, str] | None) -> None:
        super().__init__(*(keys or (None, None)), verbosity="CRITICAL", show_progress_bars=False)
        self._url = url
        self._network = network

    def raw_query(
        self, query: str, variables: dict[str, Any] | None = None, authorization: bool = False, **_: Any
    ) -> dict[str, Any]:
        """The decoded answer of one request. ValueError with the server's message for a refusal, as in numerapi;
        Unreachable for every failure that may be temporary."""
        headers = {"Accept": "application/json"}
        if authorization:
            public_id, secret_key = self.token
            headers["Authorization"] = f"Token {public_id}${secret_key}"
        answer = transport.request(
            "POST",
            self._url,
            self._network,
            headers=headers,
            json={"query": query, "variables": variables},
        )
        try:
            content = answer.json()
        except requests.JSONDecodeError:
            content = None
        if isinstance(content, dict) and content.get("errors"):
            raise ValueError(self._handle_call_error(content["errors"]))
        if not answer.ok:
            after = transport.retry_after_seconds(answer)
            raise Unreachable(f"answered {answer.status_code} {answer.reason}", after)
        if not isinstance(content, dict) or not isinstance(content.get("data"), dict):
            raise Unreachable("no data in the answer")
        return content


class Tournament:
    """Calls of the Classic tournament. Every method raises TournamentError (or one of its kinds) with one clear line."""

    def __init__(self, settings: Settings) -> None:
        self.is_sandbox = settings.tournament == "sandbox"
        self.url = settings.network.api_url or (settings.sandbox.url if self.is_sandbox else NUMERAI_URL)
        self.network = settings.network
        self.data_version = settings.data_version

    def now(self) -> dt.datetime:
        """The server's time, UTC."""
        stamp = self._persistently(self._date_header)
        if stamp is None:
            raise TournamentError(f"{self.url} sends no Date header; its clock cannot be read")
        return email.utils.parsedate_to_datetime(stamp).astimezone(dt.UTC)

    def current_round(self) -> Round | None:
        """The round that is open for submissions, None when there is none."""
        query = f"query($tournament: Int!) {{ rounds(tournament: $tournament number: 0) {{ {_ROUND_FIELDS} }} }}"
        try:
            found = self.query(query, {"tournament": TOURNAMENT})["rounds"]
        except RoundClosedError:
            return None
        if not found or found[0] is None:
            return None
        current = parse_round(found[0])
        return current if current.is_open(self.now()) else None

    def next_round(self) -> Round | None:
        """The earliest round that has not opened yet, where the tournament announces one."""
        now = self.now()
        return min((r for r in self._rounds("UPCOMING") if r.opens > now), key=lambda r: r.opens, default=None)

    def latest_round(self) -> Round | None:
        """The round that opened last, open or not."""
        now, found = self.now(), [*self._rounds("OPEN"), *self._rounds("RESOLVING", limit=5)]
        return max((r for r in found if r.opens <= now), key=lambda r: r.opens, default=None)

    def _rounds(self, status: str, limit: int | None = None) -> list[Round]:
        query = (
            "query($tournament: Int $status: RoundStatus $limit: Int) "
            f"{{ rounds(tournament: $tournament status: $status limit: $limit) {{ {_ROUND_FIELDS} }} }}"
        )
        found = self.query(query, {"tournament": TOURNAMENT, "status": status, "limit": limit})["rounds"] or []
        return [parse_round(item) for item in found if item and item.get("dataDatestamp")]

    def models(self) -> dict[str, str]:
        """Model slots of the account, name -> id."""
        account = self.query("query { account { models { id name tournament } } }", authorized=True)["account"]
        return {model["name"]: model["id"] for model in account["models"] if model["tournament"] == TOURNAMENT}

    def model_id(self, slot: str) -> str:
        """Id of one model slot. Raises TournamentError listing the account's slots when there is no such slot."""
        models = self.models()
        if slot not in models:
            raise TournamentError(
                f"model slot {slot!r} is not on this account; it has {', '.join(sorted(models)) or 'none'}. Correct [slots]"
            )
        return models[slot]

    def dataset_url(self, name: str, round_number: int | None = None) -> str:
        """A fresh, expiring address of one file of the data version in the settings."""
        query = (
            "query ($filename: String! $round: Int $tournament: Int) "
            "{ dataset(filename: $filename round: $round tournament: $tournament) }"
        )
        variables = {"filename": f"{self.data_version}/{name}", "round": round_number, "tournament": TOURNAMENT}
        url: str = self.query(query, variables)["dataset"]
        return url

    def query(self, query: str, variables: dict[str, Any] | None = None, *, authorized: bool = False) -> dict[str, Any]:
        """Answer of an idempotent query: outages are retried with backoff and jitter, refusals are not."""
        return self._persistently(lambda: self.ask_once(query, variables, authorized=authorized))

    def ask_once(
        self, query: str, variables: dict[str, Any] | None = None, *, authorized: bool = False
    ) -> dict[str, Any]:
        """Answer of one request, for mutations, which must not be repeated blindly (numerapi by itself repeats on 5xx)."""
        api = BoundedNumerAPI(self.url, self.network, self._keys() if authorized else None)
        try:
            data: dict[str, Any] = api.raw_query(query, variables, authorization=authorized)["data"]
        except ValueError as error:
            raise refusal(str(error)) from None
        except Unreachable as error:
            raise self._unreachable(error) from None
        return data

    def put(self, url: str, content: bytes) -> requests.Response:
        """The answer to an upload, sent once: an upload name is valid for one file. Raises Unreachable."""
        return transport.request("PUT", url, self.network, data=content)

    def get(self, url: str) -> requests.Response:
        """The answer to a small download, such as a submission read back. Raises Unreachable."""
        return transport.request("GET", url, self.network)

    def _date_header(self) -> str | None:
        try:
            answer = transport.request("HEAD", self.url, self.network)
        except Unreachable as error:
            raise self._unreachable(error) from None
        return answer.headers.get("Date")

    def _persistently(self, call: Callable[[], T]) -> T:
        return transport.persistently(call, self.network)

    def _keys(self) -> tuple[str, str]:
        if self.is_sandbox:
            return SANDBOX_KEYS
        public_id, secret_key = os.environ.get("NUMERAI_PUBLIC_ID"), os.environ.get("NUMERAI_SECRET_KEY")
        if not public_id or not secret_key:
            raise AuthenticationError(
                "no API keys: set NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY in the environment "
                "(numer.ai, account settings, 'Create API key')"
            )
        return public_id, secret_key

    def _unreachable(self, error: Unreachable) -> Unreachable:
        hint = "; start it with `numerai sandbox start`" if self.is_sandbox else ""
        message = f"no answer from {self.url} ({error}){hint}. Nothing was changed; run again"
        return Unreachable(message, error.retry_after)


def refusal(message: str) -> TournamentError:
    """The error for a message of the server, which gives most refusals as text alone."""
    lowered = message.lower()
    if "not open for submissions" in lowered or "no currently open rounds" in lowered:
        return RoundClosedError(f"no round is open: {message}")
    if "api key" in lowered or "authent" in lowered or "authoriz" in lowered or "token" in lowered:
        return AuthenticationError(f"API keys refused: {message}. Check NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY")
    return TournamentError(f"the tournament refused: {message}", code=error_code(message))


def error_code(message: str) -> str | None:
    """The code with which some messages of the server begin, such as "invalid_submission_ids: ..."."""
    found = re.match(r"([a-z]+(?:_[a-z]+)+):", message)
    return found[1] if found else None


def parse_round(item: dict[str, Any]) -> Round:
    """A Round from the fields of the API: ISO times with a zone, dataDatestamp as YYYYMMDD (None: the opening's eve)."""
    opens, closes = (
        dt.datetime.fromisoformat(item[name]).astimezone(dt.UTC) for name in ("openTime", "closeStakingTime")
    )
    stamp = item.get("dataDatestamp")
    day = dt.datetime.strptime(str(stamp), "%Y%m%d").date() if stamp else opens.date() - dt.timedelta(days=1)
    return Round(number=int(item["number"]), opens=opens, closes=closes, data_day=day)
