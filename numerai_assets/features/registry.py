"""The registered feature blocks. Adding one is a module and a line here; its switch is a table in numerai.toml."""

import importlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import ValidationError

from numerai_assets.errors import FeatureError
from numerai_assets.execution import DEFAULT_EXECUTION, Execution
from numerai_assets.features.contract import FeatureBlock, FittedBlock, Kind


class Entry(NamedTuple):
    """A registered block: its kind, and its class as "module:Class"."""

    kind: Kind
    place: str


# Named, not imported: the definitions of the assets load without PyTorch or LightGBM.
BLOCKS: dict[str, Entry] = {
    "aggregates": Entry(Kind.PER_ERA, "numerai_assets.features.per_era.aggregates:Aggregates"),
    "market_state": Entry(Kind.PER_ERA, "numerai_assets.features.per_era.market_state:MarketState"),
    "look_alikes": Entry(Kind.PER_ERA, "numerai_assets.features.per_era.look_alikes:LookAlikes"),
    "look_alike_ranks": Entry(Kind.PER_ERA, "numerai_assets.features.per_era.look_alike_ranks:LookAlikeRanks"),
    "trajectory_changes": Entry(Kind.PER_ERA, "numerai_assets.features.per_era.trajectory_changes:TrajectoryChanges"),
    "group_payoffs": Entry(Kind.PER_ERA, "numerai_assets.features.per_era.group_payoffs:GroupPayoffs"),
    "target_momentum": Entry(Kind.PER_ERA, "numerai_assets.features.per_era.target_momentum:TargetMomentum"),
    "interactions": Entry(Kind.LEARNED, "numerai_assets.features.learned.interactions:Interactions"),
    "embeddings": Entry(Kind.LEARNED, "numerai_assets.features.learned.embeddings:Embeddings"),
    "mixing": Entry(Kind.LEARNED, "numerai_assets.methods.mixer_boosting.feature_mixing:FeatureMixing"),
    "trajectory_mixer": Entry(Kind.LEARNED, "numerai_assets.methods.mixer_boosting.trajectory_mixer:TrajectoryMixer"),
    "network_momentum": Entry(Kind.LEARNED, "numerai_assets.features.learned.network_momentum:NetworkMomentum"),
    "payoff_panel": Entry(Kind.LEARNED, "numerai_assets.methods.mixer_boosting.payoff_panel:PayoffPanel"),
    "selection": Entry(Kind.SELECTION, "numerai_assets.features.learned.selection:FeatureSelection"),
}


def kind_of(name: str) -> Kind:
    """Raises FeatureError, listing the registered blocks, for an unknown one."""
    return _entry(name).kind


def per_era(names: Iterable[str]) -> list[str]:
    """Those of the blocks that are computed once per era, in their order. Raises FeatureError for an unknown block."""
    return [name for name in names if not kind_of(name).is_learned]


def learned(names: Iterable[str]) -> list[str]:
    """Those of the blocks that are fitted once per vintage, in their order. Raises FeatureError for an unknown block."""
    return [name for name in names if kind_of(name).is_learned]


def create_block(name: str, parameters: dict[str, Any]) -> FeatureBlock:
    """A per-era block. Raises FeatureError for an unknown block and for a parameter that it does not take."""
    found: FeatureBlock = _create(name, parameters)
    return found


def create_fitted_block(name: str, parameters: dict[str, Any], execution: Execution = DEFAULT_EXECUTION) -> FittedBlock:
    """An unfitted learned block. Raises FeatureError as `create_block` does, and when it cannot be trained where asked."""
    found: FittedBlock = _create(name, parameters)
    unused = execution.beyond(found.honours)
    if unused:
        raise FeatureError(f"features.{name}.{unused[0]}: {name} cannot use it; leave it at its default")
    found.execution = execution
    return found


def fitted_block_class(name: str) -> type[FittedBlock]:
    """Raises FeatureError for an unknown block."""
    found: type[FittedBlock] = _class_of(name)
    return found


def _entry(name: str) -> Entry:
    if name not in BLOCKS:
        raise FeatureError(f"feature block {name!r} is unknown; there are {', '.join(sorted(BLOCKS))}")
    return BLOCKS[name]


def _class_of(name: str) -> Any:
    module, _, attribute = _entry(name).place.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _create(name: str, parameters: dict[str, Any]) -> Any:
    try:
        return _class_of(name)(**parameters)
    except ValidationError as error:
        (problem, *_) = error.errors()
        where = ".".join(str(part) for part in problem["loc"])
        raise FeatureError(
            f"features.{name}.parameters.{where}: {problem['msg']} (found {problem['input']!r})"
        ) from None
    except TypeError as error:
        raise FeatureError(f"features.{name}.parameters: {str(error).partition(') ')[2] or error}") from None
