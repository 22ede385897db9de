"""One typed settings tree: `numerai.toml`, overridden by NUMERAI_* environment variables.

Secrets are not settings. API keys are read from the environment by the client at the moment of use (`tournament/`)
and appear in no object here, so that settings may be logged and shown.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from numerai_assets.eras import PAYOUT_TARGET, horizon_of
from numerai_assets.errors import CalendarError, SettingsError
from numerai_assets.execution import LOCAL, Execution

SETTINGS_FILE_VARIABLE = "NUMERAI_SETTINGS"
DEFAULT_SETTINGS_FILE = "numerai.toml"
# Read by numerapi or by us at the moment of use; never part of the tree.
_ENVIRONMENT_ONLY = frozenset(
    {
        "NUMERAI_PUBLIC_ID",
        "NUMERAI_SECRET_KEY",
        "NUMERAI_COMPUTE_ID",
        "NUMERAI_ALERT_URLS",
        "NUMERAI_ASSETS_SHARED_DATA",
        SETTINGS_FILE_VARIABLE,
    }
)

# Tables whose keys are the user's own, checked by what they name.
_TABLES_OF_NAMES = ("NUMERAI_SLOTS__", "NUMERAI_METHODS__", "NUMERAI_FEATURES__")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReleaseSettings(_Section):
    # Of validation.parquet only the row groups of new eras and newly resolved targets, where the server gives ranges.
    increments: bool = True


class RetrainPolicy(_Section):
    every_eras: int = Field(4, ge=1)
    history_every_eras: int = Field(52, ge=1)
    # Where the grid of vintages begins; None is the last train era of the release.
    first_vintage: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _history_lies_on_the_live_grid(self) -> "RetrainPolicy":
        if self.history_every_eras % self.every_eras:
            raise ValueError(
                f"history_every_eras ({self.history_every_eras}) must be a multiple of every_eras ({self.every_eras}), "
                "so that a vintage of history is one that the live process would have trained"
            )
        return self


class Explanations(_Section):
    # Judged eras looked at, at most; rows of each that are taken apart; features that are permuted, those of most gain.
    eras: int = Field(8, ge=1)
    rows: int = Field(50, ge=1)
    features: int = Field(100, ge=1)
    # The same of a method that is not made of trees, which has to predict the whole era for each.
    features_without_trees: int = Field(20, ge=1)


class Cleaning(_Section):
    missing: Literal["median", "mean", "mode", "knn", "keep"] = "median"


class _Trained(_Section):
    """Of a method or a learned block: what it learns from, and where and how fast it is trained."""

    # What it is trained on.
    target: str = PAYOUT_TARGET
    feature_set: str = "all"
    seed: int = Field(0, ge=0)
    # Where and how fast it is trained. None of these makes a stored vintage count as outdated.
    # 0: every core that the process may use, the limits of a container respected.
    threads: int = Field(0, ge=0)
    # "local", or the scheduler of a Dask cluster.
    compute: str = Field(LOCAL, pattern=r"^(local|dask://[^/:\s]+:\d{1,5})$")
    device: Literal["cpu", "cuda"] = "cpu"
    processes: int = Field(1, ge=1)

    @field_validator("target")
    @classmethod
    def _is_named_in_full(cls, target: str) -> str:
        try:
            horizon_of(target)
        except CalendarError as error:
            raise ValueError(str(error)) from None
        return target

    @property
    def execution(self) -> Execution:
        """Where and how fast it is trained."""
        return Execution(self.threads, self.compute, self.device, self.processes)


class MethodSettings(_Trained):
    # "smoke" trains in seconds and proves that everything is connected, nothing else.
    profile: Literal["smoke", "quick", "full"] = "quick"
    # The method's class where it is not the one registered under this name: a registered name, or "module:Class" of your own.
    source: str | None = Field(None, pattern=r"^[\w.]+(:\w+)?$")
    # Hyperparameters that replace those of the profile: keyword arguments of the method's constructor.
    parameters: dict[str, Any] = Field(default_factory=dict)

    # Feature blocks that are on, whose columns it is given beside the feature set.
    blocks: tuple[str, ...] = ()
    # Vintages of history are trained from scratch; those of the live grid between warm-start from the newest of them.
    rolled: bool = False


class FeatureBlockSettings(_Trained):
    # Computed for every era and live round, or, where it is learned, fitted for every vintage.
    on: bool = False
    # Keyword arguments of the block.
    parameters: dict[str, Any] = Field(default_factory=dict)


class GateLimits(_Section):
    """What predictions must keep to be submitted; correlations are of ranks, among the rows of the live round."""

    # The largest share of rows that have one and the same prediction.
    greatest_tie: float = Field(0.25, gt=0, le=1)
    # With what the vintage before would have submitted: a model that turned over in a few weeks is a broken one.
    least_previous_correlation: float = Field(0.1, ge=-1, le=1)
    # With Numerai's own benchmark of the payout target: below: a flipped sign; above: a copy.
    least_benchmark_correlation: float = Field(-0.2, ge=-1, le=1)
    greatest_benchmark_correlation: float = Field(0.9999, ge=-1, le=1)
    # With any other slot of the round.
    greatest_slot_correlation: float = Field(0.9999, ge=-1, le=1)
    # Absolute correlation with any one feature.
    greatest_exposure: float = Field(0.8, gt=0, le=1)
    # Share of features whose live values are distributed otherwise than in recent eras.
    greatest_drift: float = Field(0.1, ge=0, le=1)


class Deadline(_Section):
    # A due vintage that is not there when the round is about to close is not waited for any longer.
    weekend_minutes: int = Field(360, ge=0)
    weekday_minutes: int = Field(25, ge=0)


class Network(_Section):
    timeout_seconds: float = Field(60.0, gt=0)
    attempts: int = Field(4, ge=1)
    # Wait before the second attempt; it doubles from one to the next, up to a minute.
    retry_seconds: float = Field(0.5, ge=0)
    api_url: str | None = None


class SandboxDials(_Section):
    """How much of each structure the synthetic market has (docs/sandbox.md); the defaults are the market's own."""

    effects: float = Field(0.020, ge=0)
    interactions: float = Field(0.40, ge=0, le=1)
    regimes: float = Field(0.008, ge=0)
    spillover: float = Field(0.010, ge=0)
    drift: float = Field(0.012, ge=0)


class SandboxSettings(_Section):
    market: Literal["synthetic", "prices"] = "synthetic"
    size: Literal["tiny", "default"] = "default"
    seed: int = Field(0, ge=0)
    port: int = Field(8765, ge=1, le=65535)
    prices: Path | None = None
    features_json: Path | None = None
    # Model slots of the account. A name added later becomes a model at the next start; no model is ever removed.
    models: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,40}$")], ...] = Field(
        ("sandbox_one", "sandbox_two", "sandbox_three"), min_length=1
    )
    dials: SandboxDials = SandboxDials()

    @field_validator("models")
    @classmethod
    def _models_differ(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(models)) < len(models):
            raise ValueError("every model needs a name of its own")
        return models

    @model_validator(mode="after")
    def _market_has_what_it_needs(self) -> "SandboxSettings":
        if self.market == "prices" and self.prices is None:
            raise ValueError("market 'prices' needs the path of a daily price panel: set sandbox.prices")
        if self.market == "prices" and self.dials != SandboxDials():
            raise ValueError("market 'prices' has no dials: remove [sandbox.dials] or set market = \"synthetic\"")
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def world_name(self) -> str:
        """Name of the world these settings make: worlds that differ have different names."""
        parts = [self.market, self.size, *([self.prices.stem] if self.market == "prices" and self.prices else [])]
        if self.features_json is not None:
            parts.append(self.features_json.stem)
        if self.seed:
            parts.append(f"seed{self.seed}")
        parts += [f"{dial}{value!r}" for dial, value in self.dials if value != getattr(SandboxDials(), dial)]
        return "-".join(parts)


class Settings(BaseSettings):
    """The whole tree. `tournament` decides who is talked to; everything else holds for both."""

    model_config = SettingsConfigDict(
        env_prefix="NUMERAI_", env_nested_delimiter="__", extra="forbid", frozen=True, validate_default=True
    )

    tournament: Literal["sandbox", "numerai"] = "sandbox"
    home: Path = Path("data")
    data_version: str = "v5.3"
    # Of what is made from the store before a fit and would be made again, the same, for the next fit on the same rows.
    cache_gigabytes: float = Field(4.0, ge=0)
    # Your own daily price panel, for technical indicators by ticker and date; the sandbox's own on its price market.
    prices: Path | None = None
    # Nodes of the network that momentum of neighbours comes from, beside the indicators; 0 for none.
    price_network: int = Field(0, ge=0)
    slots: dict[str, str] = Field(default_factory=dict)
    release: ReleaseSettings = ReleaseSettings()
    retrain: RetrainPolicy = RetrainPolicy()
    cleaning: Cleaning = Cleaning()
    features: dict[str, FeatureBlockSettings] = Field(default_factory=dict)
    methods: dict[str, MethodSettings] = Field(default_factory=lambda: {"benchmark": MethodSettings()})
    gate: GateLimits = GateLimits()
    explanations: Explanations = Explanations()
    deadline: Deadline = Deadline()
    network: Network = Network()
    sandbox: SandboxSettings = SandboxSettings()

    @model_validator(mode="after")
    def _slots_name_known_methods(self) -> "Settings":
        known = sorted(self.methods)
        for slot, method in self.slots.items():
            if method not in known:
                raise ValueError(f"slots.{slot}: no [methods.{method}] in the settings{_suggestion(method, known)}")
        return self

    @model_validator(mode="after")
    def _methods_name_blocks_that_are_on(self) -> "Settings":
        for method, settings in self.methods.items():
            for block in settings.blocks:
                if block not in self.active_blocks:
                    raise ValueError(f"methods.{method}.blocks: {block} is not on; set [features.{block}] on = true")
        return self

    @property
    def active_blocks(self) -> list[str]:
        """Feature blocks that are on."""
        return [name for name, block in self.features.items() if block.on]

    @property
    def price_panel(self) -> Path | None:
        """The price panel in force, if there is one."""
        is_price_market = self.tournament == "sandbox" and self.sandbox.market == "prices"
        return self.prices or (self.sandbox.prices if is_price_market else None)

    @property
    def workspace(self) -> Path:
        """Folder of everything that belongs to the tournament talked to; a rehearsal never shares one with the real."""
        if self.tournament == "numerai":
            place = (
                ""
                if self.network.api_url is None
                else f"-at-{re.sub(r'[^a-z0-9.]+', '-', self.network.api_url.lower())}"
            )
            return self.home / f"numerai{place}"
        return self.home / f"sandbox-{self.sandbox.world_name}"

    @property
    def active_methods(self) -> list[str]:
        """Methods that some slot submits, in the order of the slots."""
        return list(dict.fromkeys(self.slots.values()))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = settings_file()
        if file is None:
            return init_settings, env_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)


def settings_file() -> Path | None:
    """The settings file in force: NUMERAI_SETTINGS, else numerai.toml in the working folder, else none."""
    named = os.environ.get(SETTINGS_FILE_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise SettingsError(f"{SETTINGS_FILE_VARIABLE}={named}: no such file")
        return Path(named)
    default = Path(DEFAULT_SETTINGS_FILE)
    return default if default.is_file() else None


def load_settings(**overrides: Any) -> Settings:
    """Settings from the file and the environment; `overrides` win. Raises SettingsError naming the key at fault."""
    source = settings_file()
    _check_environment(os.environ)
    try:
        return Settings(**overrides)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{source}: not valid TOML: {error}") from None
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(problem, source) for problem in error.errors())) from None


def _check_environment(environment: Mapping[str, str]) -> None:
    known = [f"NUMERAI_{'__'.join(path).upper()}" for path in _paths(Settings)]
    for name in sorted(environment):
        if not name.startswith("NUMERAI_") or name in _ENVIRONMENT_ONLY or name.startswith(_TABLES_OF_NAMES):
            continue
        if name not in known:
            raise SettingsError(f"unknown setting {name} (environment){_suggestion(name, known)}")


def _explain(problem: Any, source: Path | None) -> str:
    path = tuple(str(part) for part in problem["loc"])
    where = ".".join(path) or "settings"
    if problem["type"] == "extra_forbidden":
        siblings = _siblings(path)
        if "secret" in where.lower() or "public_id" in where.lower():
            return f"{source}: {where}: API keys belong in the environment (NUMERAI_PUBLIC_ID, NUMERAI_SECRET_KEY)"
        return f"{source or 'settings'}: unknown setting {where}{_suggestion(path[-1], siblings)}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{source or 'settings'}: {where}: {message} (found {problem.get('input')!r})" if path else message


def _paths(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, field in model.model_fields.items():
        found.append((*prefix, name))
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += _paths(field.annotation, (*prefix, name))
    return found


def _siblings(path: tuple[str, ...]) -> list[str]:
    """Keys that may stand where `path` does; those of a table of methods, or of feature blocks, are the same for each."""
    tables: dict[str, type[BaseModel]] = {"methods": MethodSettings, "features": FeatureBlockSettings}
    if path[0] in tables and len(path) == 3:
        return list(tables[path[0]].model_fields)
    return [known[-1] for known in _paths(Settings) if known[:-1] == path[:-1]]


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; expected one of {', '.join(known)}"
