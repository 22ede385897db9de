"""Pictures of what matters: small PNGs, whatever there is to show."""

import numpy as np
import pandas as pd
import pytest

from numerai_assets.evaluation.importance_plots import beeswarm, group_bars

PNG = b"\x89PNG\r\n\x1a\n"


def swarm(rows: int, features: int) -> bytes:
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(rows, features)).astype(np.float32)
    levels = rng.integers(-1, 5, (rows, features), dtype=np.int8)
    return beeswarm(parts, levels, [f"feature_{place}" for place in range(features)], "benchmark")


@pytest.mark.parametrize(("rows", "features"), [(300, 20), (1, 1), (50, 0)])
def test_a_beeswarm_is_a_small_png(rows: int, features: int) -> None:
    picture = swarm(rows, features)

    assert picture.startswith(PNG)
    assert len(picture) < 300_000


def test_parts_that_are_all_nothing_are_drawn_too() -> None:
    nothing = np.zeros((9, 2), np.float32)

    assert beeswarm(nothing, np.zeros((9, 2), np.int8), ["a", "b"], "benchmark").startswith(PNG)


@pytest.mark.parametrize("shap", [[0.6, 0.4], [np.nan, np.nan]])
def test_groups_are_drawn_with_and_without_shap(shap: list[float]) -> None:
    groups = pd.DataFrame({"group": ["wisdom", "faith"], "features": [3, 5], "gain": [0.7, 0.3], "shap": shap})

    assert group_bars(groups, "benchmark").startswith(PNG)
