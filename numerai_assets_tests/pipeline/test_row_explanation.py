"""The explanation of one row, of a linear method whose explanation is known."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from numerai_assets.errors import MethodError, StoreError
from numerai_assets.methods.contract import rank_within_eras
from numerai_assets.panel.panel import EraPanel, Reads
from numerai_assets.pipeline.row_explanation import explain_row, places_among

WEIGHTS = np.array([0.5, -1.0, 0.0, 0.25])
NAMES = ("a", "b", "c", "d")
ERA, ROWS = 920, 80


class Linear:
    """A weighted sum of features."""

    name: ClassVar[str] = "linear"
    reads = Reads()

    def predict(self, panel: EraPanel) -> NDArray[np.float32]:
        return rank_within_eras(panel.features @ WEIGHTS, panel.rows_of_era)

    def explain(self, panel: EraPanel) -> pd.DataFrame:
        return pd.DataFrame({"feature": NAMES, "gain": np.abs(WEIGHTS)})


class Summed(Linear):
    """The same, with its contributions."""

    def contributions(self, panel: EraPanel, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return (panel.features[rows] * WEIGHTS).astype(np.float32)


@pytest.fixture
def panel() -> EraPanel:
    block = np.random.default_rng(0).integers(0, 5, (len(NAMES), ROWS), dtype=np.int8)
    ids = np.array([f"n{row}" for row in range(ROWS)], object)
    return EraPanel((block,), NAMES, (ERA,), (ids,))


@pytest.fixture
def workspace(panel: EraPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Era 920 predicted by vintage 900 of the method `estimator`."""
    found = SimpleNamespace(
        estimator=Linear(),
        store=SimpleNamespace(record=lambda key: SimpleNamespace(era=int(key))),
        vintages=SimpleNamespace(before=lambda method, era: [900, 848] if era > 900 else []),
        release=SimpleNamespace(features=lambda: {"wisdom": NAMES[:2], "faith": NAMES[2:]}),
        settings=SimpleNamespace(methods={"linear": SimpleNamespace(seed=0)}),
    )
    place = "numerai_assets.pipeline.row_explanation"
    monkeypatch.setattr(f"{place}.load_vintage", lambda workspace, method, vintage: workspace.estimator)
    monkeypatch.setattr(f"{place}.vintage_panel", lambda *_: panel)
    return found


def test_contributions_stand_with_bin_and_group_the_largest_first(workspace: Any, panel: EraPanel) -> None:
    workspace.estimator = Summed()

    found = explain_row(workspace, "linear", "0920", "n7")

    assert (found.vintage, found.place) == (900, Linear().predict(panel)[7])
    assert found.parts is not None
    own = (panel.features[7] * WEIGHTS)[np.argsort(-np.abs(panel.features[7] * WEIGHTS), kind="stable")]
    np.testing.assert_allclose(found.parts["part"], own)
    by_feature = found.parts.set_index("feature")
    assert by_feature["group"].to_dict() == {"a": "wisdom", "b": "wisdom", "c": "faith", "d": "faith"}
    assert by_feature.loc[list(NAMES), "level"].tolist() == panel.features[7].tolist()


def test_the_local_model_has_the_signs_of_the_method(workspace: Any) -> None:
    found = explain_row(workspace, "linear", "0920", "n7")

    assert found.parts is None and found.local is not None and found.r2 is not None
    weights = found.local.set_index("feature")["weight"]
    assert weights["a"] > 0.02 and weights["b"] < -0.05 and abs(weights["c"]) < 0.01
    assert found.r2 > 0.8


def test_a_copy_of_a_row_has_the_rank_of_the_row(panel: EraPanel) -> None:
    places = places_among(Linear(), panel, 0, np.arange(len(NAMES)), panel.features[[3, 9]])  # type: ignore[arg-type]

    np.testing.assert_allclose(places, Linear().predict(panel)[[3, 9]], atol=0.5 / ROWS)


@pytest.mark.parametrize(
    ("key", "row", "message"),
    [
        ("0900", "n7", "linear: no vintage older than era 0900"),
        ("0920", "x", "no row 'x' among its 80; ids look like 'n0'"),
    ],
)
def test_unknown_rows_and_vintages_are_named(workspace: Any, key: str, row: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        explain_row(workspace, "linear", key, row)


def test_a_method_that_reads_columns_of_blocks_has_no_local_model(workspace: Any, panel: EraPanel) -> None:
    workspace.estimator = Summed()
    workspace.estimator.reads = Reads(columns=("look_alikes",))

    found = explain_row(workspace, "linear", "0920", "n7")

    assert found.parts is not None
    assert (found.local, found.r2) == (None, None)
    with pytest.raises(MethodError, match="linear: reads look_alikes of each row"):
        places_among(workspace.estimator, panel, 0, np.arange(1), np.zeros((1, 1), np.int8))
