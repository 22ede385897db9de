"""The one door to the tournament: numerapi, pointed at Numerai or at the sandbox, with its failures put into words.

numerapi answers an outage with `KeyError('data')` and every refusal with `ValueError`; here both become errors that
say what to do. The clock is the server's own (the Date header), so a wrong local clock cannot miss a deadline.
"""

import datetime as dt
import email.utils
import os
from dataclasses import dataclass
from typing import Any

import numerapi
import numerapi.base_api
import requests
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from numerai_assets.eras import era_on
from numerai_assets.errors import AuthenticationError, RoundClosedError, TournamentError
from numerai_assets.settings import Settings

TOURNAMENT = 8
NUMERAI_URL = "https://api-tournament.numer.ai"
# Of the local tournament; public by design, so that real keys are never sent to it.
SANDBOX_KEYS = ("SANDBOX", "sandbox")

_ROUND_FIELDS = "number openTime closeStakingTime dataDatestamp"


class Unreachable(TournamentError):
    """No usable answer came: worth another try, unlike a refusal."""


@dataclass(frozen=True)
class Round:
    """A round that accepts submissions until `closes`. Times are UTC; `data_day` is the close its data stands for."""

    number: int
    opens: dt.datetime
    closes: dt.datetime
    data_day: dt.date

    @property
    def is_weekend(self) -> bool:
        return self.opens.weekday() == 5

    @property
    def era(self) -> int:
        """Newest era at the data's date: the era that the live rows of a weekend round later become."""
        return era_on(self.data_day)

    def is_open(self, now: dt.datetime) -> bool:
        return self.opens <= now < self.closes


class Tournament:
    """Calls of the Classic tournament. Every method raises TournamentError (or one of its kinds) with one clear line."""

    def __init__(self, settings: Settings) -> None:
        self.is_sandbox = settings.tournament == "sandbox"
        self.url = settings.network.api_url or (settings.sandbox.url if self.is_sandbox else NUMERAI_URL)
        self.timeout_seconds = settings.network.timeout_seconds
        self.attempts = settings.network.attempts
        self.data_version = settings.data_version

    def now(self) -> dt.datetime:
        """The server's time, UTC."""
        try:
            answer = requests.head(self.url, timeout=self.timeout_seconds, allow_redirects=True)
        except requests.RequestException as error:
            raise self._unreachable(type(error).__name__) from None
        stamp = answer.headers.get("Date")
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
        query = (
            "query($tournament: Int $status: RoundStatus) "
            f"{{ rounds(tournament: $tournament status: $status) {{ {_ROUND_FIELDS} }} }}"
        )
        found = self.query(query, {"tournament": TOURNAMENT, "status": "UPCOMING"})["rounds"] or []
        upcoming = [parse_round(item) for item in found if item and item.get("dataDatestamp")]
        return min((r for r in upcoming if r.opens > now), key=lambda r: r.opens, default=None)

    def models(self) -> dict[str, str]:
        """Model slots of the account, name -> id."""
        account = self.query("query { account { models { id name tournament } } }", authorized=True)["account"]
        return {model["name"]: model["id"] for model in account["models"] if model["tournament"] == TOURNAMENT}

    def model_id(self, slot: str) -> str:
        """Id of one model slot. Raises TournamentError listing the account's slots when there is no such slot."""
        models = self.models()
        if slot not in models:
            raise TournamentError(
                f"model slot {slot!r} is not on this account; it has {', '.join(sorted(models)) or 'none'}. Mend [slots]"
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
        """Answer of a query that may be asked again: outages are retried with backoff and jitter, refusals are not."""
        for attempt in Retrying(
            stop=stop_after_attempt(self.attempts),
            wait=wait_exponential_jitter(multiplier=0.5, max=20),
            retry=retry_if_exception_type(Unreachable),
            reraise=True,
        ):
            with attempt:
                return self.ask_once(query, variables, authorized=authorized)
        raise AssertionError("unreachable: Retrying re-raises")

    def ask_once(
        self, query: str, variables: dict[str, Any] | None = None, *, authorized: bool = False
    ) -> dict[str, Any]:
        """Answer of one request, for mutations, which must not be repeated blindly (numerapi by itself repeats on 5xx)."""
        try:
            answer = self._api(authorized=authorized).raw_query(query, variables, authorization=authorized, retries=1)
        except ValueError as error:
            raise refusal(str(error)) from None
        except requests.RequestException as error:
            raise self._unreachable(type(error).__name__) from None
        if not isinstance(answer, dict) or not isinstance(answer.get("data"), dict):
            raise self._unreachable("no data in the answer")
        data: dict[str, Any] = answer["data"]
        return data

    def _api(self, *, authorized: bool) -> Any:
        numerapi.base_api.API_TOURNAMENT_URL = self.url
        public_id, secret_key = self._keys() if authorized else (None, None)
        return numerapi.NumerAPI(public_id, secret_key, verbosity="CRITICAL", show_progress_bars=False)

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

    def _unreachable(self, why: str) -> Unreachable:
        hint = "; start it with `numerai sandbox start`" if self.is_sandbox else ""
        return Unreachable(f"no answer from {self.url} ({why}){hint}. Nothing was changed; run again")


def refusal(message: str) -> TournamentError:
    """The error that a message of the server stands for."""
    lowered = message.lower()
    if "not open for submissions" in lowered or "no currently open rounds" in lowered:
        return RoundClosedError(f"no round is open: {message}")
    if "api key" in lowered or "authent" in lowered or "authoriz" in lowered or "token" in lowered:
        return AuthenticationError(f"API keys refused: {message}. Check NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY")
    return TournamentError(f"the tournament refused: {message}")


def parse_round(item: dict[str, Any]) -> Round:
    """A Round from the fields of the API: ISO times with a zone, dataDatestamp as YYYYMMDD (None: the opening's eve)."""
    opens, closes = (
        dt.datetime.fromisoformat(item[name]).astimezone(dt.UTC) for name in ("openTime", "closeStakingTime")
    )
    stamp = item.get("dataDatestamp")
    day = dt.datetime.strptime(str(stamp), "%Y%m%d").date() if stamp else opens.date() - dt.timedelta(days=1)
    return Round(number=int(item["number"]), opens=opens, closes=closes, data_day=day)
