"""Plans of faults: at random by rate and seed, or at set moments by a script of events.

    seed = 7

    [rates]
    server-error = 0.02
    slow = { rate = 0.1, on = ["file"], at_most_per_round = 5, parameters = { seconds = 3 } }

    [[events]]
    fault = "late-opening"
    at = 331                                                # a round, or a time: "2014-01-11T12:05"

    [[events]]
    fault = "reset"
    at = { round = 331, request = "file:v5.3/live.parquet", nth = 2 }
    count = 3

JSON of the same structure is accepted too.
"""

import datetime as dt
import difflib
import functools
import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

from ariadne import load_schema_from_path
from graphql import build_schema
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.faults.catalogue import Fault, Parameters, RequestKind, Scope, fault_named

_SCHEMA_FILE = Path(__file__).parents[1] / "server" / "schema.graphql"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rate(_Part):
    """A fault at random.

    rate: probability per request, round or release. on: only requests that match one of these selectors.
    at_most_in_a_row, at_most_per_round: limits that keep a round possible.
    """

    rate: float = Field(ge=0, le=1)
    on: tuple[str, ...] | None = None
    at_most_in_a_row: int | None = Field(None, ge=1)
    at_most_per_round: int | None = Field(None, ge=1)
    parameters: dict[str, Any] = {}


class Moment(_Part):
    """When an event is due; all given conditions must hold.

    time: from this time of the sandbox on. round: while it is the latest. request: a selector. nth: from the nth request
    on (1 is the first) that meets the other conditions.
    """

    time: dt.datetime | None = None
    round: int | None = Field(None, ge=1)
    request: str | None = None
    nth: int = Field(1, ge=1)

    @field_validator("time")
    @classmethod
    def _in_utc(cls, time: dt.datetime | None) -> dt.datetime | None:
        if time is None:
            return None
        return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)


class Event(_Part):
    """A fault at a set moment, `count` times."""

    fault: str
    at: Moment = Moment()
    count: int = Field(1, ge=1)
    parameters: dict[str, Any] = {}

    @field_validator("at", mode="before")
    @classmethod
    def _short(cls, at: Any) -> Any:
        if isinstance(at, int):
            return {"round": at}
        return {"time": at} if isinstance(at, (str, dt.datetime)) else at


class Plan(_Part):
    """All faults to inject. Events take precedence over rates."""

    seed: int = Field(0, ge=0)
    rates: dict[str, Rate] = {}
    events: tuple[Event, ...] = ()

    @field_validator("rates", mode="before")
    @classmethod
    def _short(cls, rates: Any) -> Any:
        if not isinstance(rates, dict):
            return rates
        return {name: rate if isinstance(rate, (dict, Rate)) else {"rate": rate} for name, rate in rates.items()}

    @model_validator(mode="after")
    def _fits_the_catalogue(self) -> "Plan":
        for name, rate in self.rates.items():
            fault = fault_named(name)
            _check(fault, f"rates.{name}", rate.on or (), rate.parameters)
            if fault.scope is not Scope.REQUEST and rate.at_most_per_round is not None:
                raise SandboxError(f"rates.{name}: it occurs once per {fault.scope}: remove at_most_per_round")
        for number, event in enumerate(self.events, start=1):
            fault, where = fault_named(event.fault), f"event {number}"
            selectors = () if event.at.request is None else (event.at.request,)
            _check(fault, where, selectors, event.parameters)
            if fault.scope is not Scope.REQUEST and (event.count, event.at.nth) != (1, 1):
                raise SandboxError(
                    f"{where}: {fault.name} occurs in a {fault.scope}, not in requests: remove count and nth"
                )
        return self


def parse(content: Any, source: str) -> Plan:
    """The plan in decoded JSON or TOML. Raises SandboxError, one line that names `source`, when it is invalid."""
    try:
        return Plan.model_validate(content)
    except SandboxError as error:
        raise SandboxError(f"{source}: {error}") from None
    except ValidationError as error:
        raise SandboxError(f"{source}: {_in_words(error)}") from None


def load(path: Path) -> Plan:
    """The plan in a .toml or .json file. Raises SandboxError naming the file and the key when it is invalid."""
    try:
        text = path.read_text(encoding="utf-8")
        return parse(tomllib.loads(text) if path.suffix == ".toml" else json.loads(text), str(path))
    except OSError as error:
        raise SandboxError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SandboxError(f"{path}: not valid TOML (*.toml) or JSON: {error}") from None


def parameters_of(fault: Fault, given: dict[str, Any]) -> Parameters:
    """A fault's parameters, with defaults for those not given."""
    return fault.parameters.model_validate(given)


def die(seed: int, *key: object) -> float:
    """A number in [0, 1) that depends only on the seed and on `key`."""
    digest = hashlib.sha256("|".join(map(str, (seed, *key))).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _check(fault: Fault, where: str, selectors: tuple[str, ...], parameters: dict[str, Any]) -> None:
    for selector in selectors:
        _check_selector(fault, where, selector)
    try:
        parameters_of(fault, parameters)
    except ValidationError as error:
        known = ", ".join(fault.parameters.model_fields) or "none"
        raise SandboxError(f"{where}: parameters of {fault.name} (it has: {known}): {_in_words(error)}") from None


def _check_selector(fault: Fault, where: str, selector: str) -> None:
    kind, _, name = selector.partition(":")
    kinds = {place.partition(":")[0] for place in fault.on}
    if kind not in kinds:
        expected = ", ".join(sorted(kinds)) if kinds else f"none, it occurs in a {fault.scope}"
        raise SandboxError(f"{where}: {fault.name} on {selector!r}: expected requests of kind {expected}")
    if kind == RequestKind.GRAPHQL and name and not set(name) & set("*?[") and name not in _root_fields():
        near = difflib.get_close_matches(name, _root_fields(), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise SandboxError(f"{where}: {selector!r}: the API has no field {name!r}{hint}")


@functools.cache
def _root_fields() -> frozenset[str]:
    schema = build_schema(load_schema_from_path(str(_SCHEMA_FILE)))
    roots = (schema.query_type, schema.mutation_type)
    return frozenset(name for root in roots if root is not None for name in root.fields)


def _in_words(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'plan'}: {item['msg']}" for item in error.errors())
