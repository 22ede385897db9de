"""The feature blocks there are. Adding one is a module and a line here, its switch a table in numerai.toml."""

import importlib
from typing import Any

from pydantic import ValidationError

from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import FeatureBlock, FittedBlock

# Named, not imported: the definitions of the assets load without PyTorch or LightGBM.
BLOCKS: dict[str, str] = {
    "aggregates": "numerai_assets.features.per_era.aggregates:Aggregates",
    "market_state": "numerai_assets.features.per_era.market_state:MarketState",
    "look_alikes": "numerai_assets.features.per_era.look_alikes:LookAlikes",
    "look_alike_ranks": "numerai_assets.features.per_era.look_alike_ranks:LookAlikeRanks",
    "trajectory_changes": "numerai_assets.features.per_era.trajectory_changes:TrajectoryChanges",
    "group_payoffs": "numerai_assets.features.per_era.group_payoffs:GroupPayoffs",
    "target_momentum": "numerai_assets.features.per_era.target_momentum:TargetMomentum",
}
"""Computed once an era."""

FITTED_BLOCKS: dict[str, str] = {
    "interactions": "numerai_assets.features.learned.interactions:Interactions",
    "embeddings": "numerai_assets.features.learned.embeddings:Embeddings",
    "mixing": "numerai_assets.methods.mixer_boosting.feature_mixing:FeatureMixing",
    "trajectory_mixer": "numerai_assets.methods.mixer_boosting.trajectory_mixer:TrajectoryMixer",
    "network_momentum": "numerai_assets.features.learned.network_momentum:NetworkMomentum",
    "payoff_panel": "numerai_assets.methods.mixer_boosting.payoff_panel:PayoffPanel",
    # Gives no columns: it leaves a method those of its features that it selected.
    "selection": "numerai_assets.features.learned.selection:FeatureSelection",
}
"""Learned, one for each vintage."""

SELECTION = "selection"
"""The learned block that takes features away instead of adding columns."""


def create_block(name: str, parameters: dict[str, Any]) -> FeatureBlock:
    """A block with the given parameters. Raises FeatureError for an unknown one or a parameter it does not take."""
    found: FeatureBlock = _create(BLOCKS, name, parameters)
    return found


def create_fitted_block(name: str, parameters: dict[str, Any]) -> FittedBlock:
    """An unfitted block. Raises FeatureError for an unknown one or a parameter it does not take."""
    found: FittedBlock = _create(FITTED_BLOCKS, name, parameters)
    return found


def fitted_block_class(name: str) -> type[FittedBlock]:
    """Raises FeatureError for an unknown block."""
    found: type[FittedBlock] = _class_of(FITTED_BLOCKS, name)
    return found


def _class_of(table: dict[str, str], name: str) -> Any:
    if name not in table:
        raise FeatureError(
            f"feature block {name!r} is unknown; there are {', '.join(sorted({*BLOCKS, *FITTED_BLOCKS}))}"
        )
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def _create(table: dict[str, str], name: str, parameters: dict[str, Any]) -> Any:
    try:
        return _class_of(table, name)(**parameters)
    except ValidationError as error:
        (problem, *_) = error.errors()
        where = ".".join(str(part) for part in problem["loc"])
        raise FeatureError(
            f"features.{name}.parameters.{where}: {problem['msg']} (found {problem['input']!r})"
        ) from None
    except TypeError as error:
        raise FeatureError(f"features.{name}.parameters: {str(error).partition(') ')[2] or error}") from None
