"""Numerai's weekly tournament as software-defined assets.

The names below are the public face for programs that use this as a library; `docs/library.md` shows it. Each is imported
from its room when it is first asked for, so that `import numerai_assets` takes no time. Inside the package, modules import
each other by their full names.

Rooms, from the top down: `cli`, `definitions` -> `automation`, `checks` -> `assets` -> `pipeline` -> `methods` ->
`features` -> `trees`, `nn`, `evaluation`, `tournament` -> `store` -> `panel` -> `settings`, `eras`, `errors`. Imports point
down only. `sandbox` is a whole Numerai on loopback, reached over HTTP alone.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numerai_assets.eras import Wall, era_label, horizon_of, parse_era, purge, resolved_through
    from numerai_assets.errors import NumeraiAssetsError
    from numerai_assets.evaluation.metrics import Kind, Score, contribution, corr, score_era, score_eras
    from numerai_assets.evaluation.splits import (
        CombinatorialPurged,
        ForwardChaining,
        OfficialWalkForward,
        PurgedKFold,
        RollingWindow,
    )
    from numerai_assets.methods.contract import Method, check_features, rank_within_eras
    from numerai_assets.panel.panel import EraPanel, History, Reads
    from numerai_assets.pipeline.workspace import Workspace
    from numerai_assets.settings import Settings, load_settings

__all__ = [
    "CombinatorialPurged",
    "EraPanel",
    "ForwardChaining",
    "History",
    "Kind",
    "Method",
    "NumeraiAssetsError",
    "OfficialWalkForward",
    "PurgedKFold",
    "Reads",
    "RollingWindow",
    "Score",
    "Settings",
    "Wall",
    "Workspace",
    "check_features",
    "contribution",
    "corr",
    "era_label",
    "horizon_of",
    "load_settings",
    "parse_era",
    "purge",
    "rank_within_eras",
    "resolved_through",
    "score_era",
    "score_eras",
]

_ROOMS = {
    "eras": "Wall era_label horizon_of parse_era purge resolved_through",
    "errors": "NumeraiAssetsError",
    "evaluation.metrics": "Kind Score contribution corr score_era score_eras",
    "evaluation.splits": "CombinatorialPurged ForwardChaining OfficialWalkForward PurgedKFold RollingWindow",
    "methods.contract": "Method check_features rank_within_eras",
    "panel.panel": "EraPanel History Reads",
    "pipeline.workspace": "Workspace",
    "settings": "Settings load_settings",
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
