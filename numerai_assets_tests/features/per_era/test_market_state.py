"""The state of the market: one value an era, against the eras before it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pydantic import ValidationError

from numerai_assets.errors import FeatureError
from numerai_assets.features.contract import History
from numerai_assets.features.per_era import market_state
from numerai_assets.features.per_era.market_state import MarketState, era_statistics, standard_score
from numerai_assets.panel.panel import EraPanel

SETS = {"faith": ("feature_0", "feature_1", "feature_2"), "rain": ("feature_3", "feature_4"), "wisdom": ("feature_1",)}
GROUPS = ("wisdom", "rain", "faith")


def era_panel(era: int, block: NDArray[np.int8] | None = None, *, digest: str = "") -> EraPanel:
    made = np.random.default_rng(era).integers(0, 5, (5, 40), dtype=np.int8) if block is None else block
    ids = np.arange(made.shape[1]).astype(object)
    names = tuple(f"feature_{place}" for place in range(5))
    return EraPanel((made,), names, (era,), (ids,), {}, (digest,) if digest else ())


def history_of(era: int, look_back: int, read: Any = era_panel) -> History:
    return History(era, 1, look_back, (), SETS, read, lambda block: pytest.fail(f"{block} was read"))


def test_statistics_of_a_small_era_by_hand() -> None:
    block = np.array([[0, 4], [0, 4], [0, 4], [3, 1], [-1, 1]], np.int8)

    dispersion, breadth, togetherness, covered = era_statistics(era_panel(1, block), SETS, ("rain", "faith"))

    assert dispersion == pytest.approx((1 + 2) / 2)
    assert breadth == 0.5
    assert togetherness == pytest.approx(1)
    assert covered == pytest.approx((4 / 5 + 5 / 5) / 2)


def test_the_value_is_the_same_in_all_rows_and_is_scored_against_the_look_back() -> None:
    block = MarketState(look_back=6)

    columns = block.compute(era_panel(20), history_of(20, 6))

    assert columns.dtype == np.float16
    assert columns.shape == (len(block.names(SETS)), 40)
    assert (columns == columns[:, :1]).all()
    before = np.array([era_statistics(era_panel(era), SETS, GROUPS) for era in range(14, 20)])
    now = era_statistics(era_panel(20), SETS, GROUPS)
    expected = [*now, *((now - before.mean(axis=0)) / before.std(axis=0))]
    np.testing.assert_allclose(columns[:, 0].astype(float), expected, rtol=2e-3)


def test_scores_are_nan_where_the_look_back_is_short() -> None:
    columns = MarketState(look_back=6).compute(era_panel(4), history_of(4, 6))

    assert not np.isnan(columns[:4]).any()
    assert np.isnan(columns[4:]).all()


@given(arrays(np.int8, (5, 12), elements=st.integers(-1, 4)), st.data())
@settings(deadline=None, max_examples=30)
def test_the_order_of_rows_and_of_features_within_groups_does_not_matter(
    block: NDArray[np.int8], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(12)))
    turned = {name: tuple(reversed(features)) for name, features in SETS.items()}

    found = era_statistics(era_panel(1, np.ascontiguousarray(block[:, order])), turned, GROUPS)

    np.testing.assert_allclose(found, era_statistics(era_panel(1, block), SETS, GROUPS), rtol=1e-9, atol=1e-12)


def test_missing_cells_and_rows_without_any_value_do_not_count() -> None:
    block = np.random.default_rng(0).integers(0, 5, (5, 30), dtype=np.int8)
    with_empty = np.hstack([block, np.full((5, 3), -1, np.int8)])

    found = era_statistics(era_panel(1, with_empty), SETS, GROUPS)

    # All but the coverage, which such rows are part of.
    np.testing.assert_allclose(found[:3], era_statistics(era_panel(1, block), SETS, GROUPS)[:3], rtol=1e-12)


@pytest.mark.parametrize("level", [-1, 2])
def test_an_era_without_information_has_no_togetherness_and_no_failure(level: int) -> None:
    block = np.full((5, 4), level, np.int8)

    statistics = era_statistics(era_panel(1, block), SETS, GROUPS)

    assert np.isnan(statistics[2])
    assert statistics[3] == 0


def test_each_era_of_the_store_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []

    def counted(panel: EraPanel, *rest: Any) -> NDArray[np.float64]:
        computed.append(panel.eras[0])
        return era_statistics(panel, *rest)

    def of_store(era: int) -> EraPanel:
        return era_panel(era, digest=f"once-{era}")

    monkeypatch.setattr(market_state, "era_statistics", counted)
    block = MarketState(look_back=5)
    for era in (10, 11, 12):
        block.compute(of_store(era), history_of(era, 5, of_store))

    assert sorted(computed) == list(range(5, 13))


def test_other_content_under_the_same_number_is_not_taken_for_the_same() -> None:
    block, shifted = MarketState(look_back=4), np.zeros((5, 40), np.int8)

    first = block.compute(era_panel(9, digest="a"), history_of(9, 4))
    second = block.compute(era_panel(9, shifted, digest="b"), history_of(9, 4))

    assert (first[0] != second[0]).all()


def test_a_value_that_never_changed_has_no_score() -> None:
    before = np.ones((10, 1))

    assert np.isnan(standard_score(np.array([2.0]), before)).all()


def test_an_unknown_group_and_a_short_look_back_are_refused() -> None:
    with pytest.raises(FeatureError, match="'luck'"):
        MarketState(groups=("luck",)).names(SETS)
    with pytest.raises(ValidationError, match="look_back"):
        MarketState(look_back=2)


def test_the_picture_is_a_png() -> None:
    block, history = MarketState(look_back=5), history_of(20, 5)

    assert block.picture(era_panel(20), block.compute(era_panel(20), history), history).startswith(b"\x89PNG")
