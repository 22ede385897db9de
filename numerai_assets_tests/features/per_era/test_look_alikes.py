"""Look-alikes of an era: the nearest rows of earlier eras, whatever the order of rows, and nothing of later ones."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from numerai_assets.errors import FeatureError, WallError
from numerai_assets.features.contract import FeatureSets, History
from numerai_assets.features.per_era.look_alikes import LookAlikes
from numerai_assets.features.trajectories.neighbours import Trajectories
from numerai_assets.panel.panel import EraPanel

LAWFUL = settings(deadline=None, max_examples=12)
FEATURES, ROWS = 40, 120
NAMES = tuple(f"feature_{i}" for i in range(FEATURES))
SETS: FeatureSets = {"all": NAMES, "medium": NAMES[5:], "flat": NAMES[:5]}
SHORT = LookAlikes(lags=(1, 2, 5), dims=12)


def panel_of(era: int, block: NDArray[np.int8]) -> EraPanel:
    ids = np.array([f"n{era:04d}{row:011x}" for row in range(block.shape[1])], object)
    return EraPanel((block,), NAMES, (era,), (ids,))


def drifting(eras: Iterable[int], seed: int = 0, rows: int = ROWS) -> dict[int, EraPanel]:
    """Eras of the same rows in the same order, whose features drift; the first five features never vary."""
    rng = np.random.default_rng(seed)
    loadings = rng.normal(size=(FEATURES, 10))
    state, panels = rng.normal(size=(10, rows)), {}
    for era in eras:
        state = 0.95 * state + np.sqrt(1 - 0.95**2) * rng.normal(size=state.shape)
        scores = loadings @ state + 0.3 * rng.normal(size=(FEATURES, rows))
        block = (scores.argsort(axis=1).argsort(axis=1) * 5 // rows).astype(np.int8)
        block[:5] = 2
        panels[era] = panel_of(era, block)
    return panels


def history_of(panels: dict[int, EraPanel], era: int, block: LookAlikes = SHORT) -> History:
    def no_columns(name: str) -> NDArray[np.int8]:
        raise AssertionError(f"{name}: look-alikes need no other block")

    return History(era, min(panels), block.look_back, (), SETS, panels.__getitem__, no_columns)


def found(panels: dict[int, EraPanel], era: int = 106, block: LookAlikes = SHORT) -> Trajectories:
    return block.trajectories(block.compute(panels[era], history_of(panels, era, block)))


def reordered(panel: EraPanel, order: NDArray[np.intp]) -> EraPanel:
    ids = np.asarray(panel.ids_of_block[0], object)[order]
    return replace(panel, blocks=(panel.blocks[0][:, order],), ids_of_block=(ids,))


def test_a_row_that_drifts_is_found_again_and_less_so_the_longer_ago() -> None:
    trajectories = found(drifting(range(100, 107)))

    right = (trajectories.rows[:, 0] == np.arange(ROWS)).mean(axis=1)
    assert right[0] > right[1] > right[2] > 10 / ROWS
    assert (np.diff(trajectories.distances[:, 0].mean(axis=1)) > 0).all()


def test_look_alikes_come_nearest_first() -> None:
    distances = found(drifting(range(100, 107))).distances

    assert (np.diff(distances, axis=1) >= 0).all()
    assert distances.min() > 0


@given(seed=st.integers(0, 99))
@LAWFUL
def test_the_order_of_rows_of_the_era_changes_only_the_order_of_columns(seed: int) -> None:
    panels, order = drifting(range(100, 107), seed), np.random.default_rng(seed).permutation(ROWS)

    columns = SHORT.compute(panels[106], history_of(panels, 106))
    shuffled = SHORT.compute(reordered(panels[106], order), history_of(panels, 106))

    np.testing.assert_array_equal(columns[:, order], shuffled)


@given(seed=st.integers(0, 99))
@LAWFUL
def test_the_order_of_rows_of_earlier_eras_changes_only_their_numbers(seed: int) -> None:
    panels = drifting(range(100, 107), seed)
    orders = {era: np.random.default_rng([seed, era]).permutation(ROWS) for era in range(100, 106)}
    shuffled = panels | {era: reordered(panels[era], order) for era, order in orders.items()}

    before, after, one_more = found(panels), found(shuffled), found(panels, block=replace(SHORT, k=9))

    np.testing.assert_array_equal(before.distances, after.distances)
    for position, lag in enumerate(SHORT.lags):
        same_rows = np.sort(orders[106 - lag][after.rows[position]], axis=0)
        # Where the last of them was one of two as near, the order of rows decides between these.
        sure = np.diff(one_more.distances[position, -2:], axis=0)[0] > 0
        np.testing.assert_array_equal(np.sort(before.rows[position], axis=0)[:, sure], same_rows[:, sure])


@given(seed=st.integers(0, 99), lag=st.sampled_from([1, 2, 5]))
@LAWFUL
def test_a_copied_era_finds_itself_exactly(seed: int, lag: int) -> None:
    panels = drifting(range(100, 107), seed)
    order = np.random.default_rng(seed).permutation(ROWS)
    panels[106 - lag] = reordered(replace(panels[106], eras=(106 - lag,)), order)

    trajectories = found(panels)

    position = SHORT.lags.index(lag)
    np.testing.assert_array_equal(order[trajectories.rows[position, 0]], np.arange(ROWS))
    assert (trajectories.distances[position, 0] == 0).all()


def test_later_eras_are_not_read_and_change_nothing() -> None:
    panels = drifting(range(100, 112))
    at_the_time = {era: panel for era, panel in panels.items() if era <= 106}

    np.testing.assert_array_equal(
        SHORT.compute(panels[106], history_of(panels, 106)),
        SHORT.compute(at_the_time[106], history_of(at_the_time, 106)),
    )
    with pytest.raises(WallError, match="0106 may look back to eras 101 to 105, not to 107"):
        history_of(panels, 106).panel(107)


def test_only_eras_at_its_lags_are_read() -> None:
    panels, read = drifting(range(100, 107)), []
    history = replace(history_of(panels, 106), read_era=lambda era: read.append(era) or panels[era])

    SHORT.compute(panels[106], history)

    assert sorted(set(read)) == [101, 104, 105]


def test_a_live_era_is_treated_as_a_historical_one() -> None:
    panels = drifting(range(100, 107))
    live = replace(panels[106], ids_of_block=(np.array([f"n{row:015x}" for row in range(ROWS)], object),))

    np.testing.assert_array_equal(
        SHORT.compute(live, history_of({era: p for era, p in panels.items() if era < 106}, 106)),
        SHORT.compute(panels[106], history_of(panels, 106)),
    )


def test_eras_may_be_mapped_read_only() -> None:
    panels = drifting(range(100, 107))
    before = found(panels)
    for panel in panels.values():
        panel.blocks[0].setflags(write=False)

    np.testing.assert_array_equal(found(panels).rows, before.rows)


def test_lags_before_the_first_era_have_no_look_alikes() -> None:
    trajectories = found(drifting(range(104, 107)))

    assert (trajectories.rows[2] == -1).all()
    assert np.isnan(trajectories.distances[2]).all()
    assert (trajectories.weights()[2] == 0).all()
    assert (trajectories.rows[:2] >= 0).all()


def test_the_first_era_has_none_at_all() -> None:
    assert (found(drifting(range(106, 107))).rows == -1).all()


def test_features_outside_the_set_do_not_matter() -> None:
    panels = drifting(range(100, 107))
    other = {
        era: replace(panel, blocks=(np.concatenate([np.full((5, ROWS), era % 5, np.int8), panel.blocks[0][5:]]),))
        for era, panel in panels.items()
    }

    np.testing.assert_array_equal(found(panels).rows, found(other).rows)


def test_eras_may_differ_in_their_numbers_of_rows() -> None:
    panels = drifting(range(100, 107))
    panels[105] = reordered(panels[105], np.arange(30))

    trajectories = found(panels)

    assert trajectories.rows[0].max() == 29
    assert (trajectories.rows[0, 0, :30] == np.arange(30)).mean() > 0.3


def test_names_say_lag_and_nearness_in_the_order_of_the_columns() -> None:
    names = SHORT.names(SETS)

    assert len(set(names)) == len(names) == 2 * 3 * 8
    assert names[:9] == (*(f"row_lag_1_{i}" for i in range(1, 9)), "row_lag_2_1")
    assert names[24] == "distance_lag_1_1"


def test_partners_one_to_one_are_all_different_and_the_rest_goes_without() -> None:
    block = LookAlikes(lags=(1,), k=1, one_to_one=True, dims=12)
    panels = drifting(range(100, 107))
    panels[105] = reordered(panels[105], np.arange(100))

    trajectories = found(panels, block=block)

    rows = trajectories.rows[0, 0]
    assert sorted(rows[rows >= 0]) == list(range(100))
    assert np.isnan(trajectories.distances[0, 0, rows < 0]).all()
    assert (rows[:100] == np.arange(100)).mean() > 0.5


@pytest.mark.parametrize(
    "parameters",
    [
        {"k": 7},
        {"lags": ()},
        {"lags": (0, 1)},
        {"lags": (2, 1)},
        {"lags": (1, 1)},
        {"dims": 0},
        {"dims": 257},
        {"whitening": 1.5},
        {"one_to_one": True},
        {"one_to_one": True, "k": 1},
        {"one_to_one": True, "lags": (2,), "k": 1},
        {"unknown": 1},
    ],
)
def test_parameters_that_mean_nothing_are_refused(parameters: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LookAlikes(**parameters)


def test_an_era_of_fewer_rows_than_look_alikes_is_named() -> None:
    panels = drifting(range(100, 107))
    panels[104] = reordered(panels[104], np.arange(7))

    with pytest.raises(FeatureError, match=r"era 0104 has 7 rows, expected from k = 8 .* 2 eras before 0106"):
        found(panels)


def test_an_era_that_cannot_be_compared_is_named() -> None:
    panels = drifting(range(100, 107))

    with pytest.raises(FeatureError, match="era 0106, feature set flat: all 5 features are constant"):
        found(panels, block=replace(SHORT, feature_set="flat"))
    with pytest.raises(FeatureError, match="era 0106 has no rows"):
        found(panels | {106: reordered(panels[106], np.arange(0))})


def test_an_unknown_feature_set_is_named_at_once() -> None:
    with pytest.raises(FeatureError, match="feature set 'large' is not in features"):
        LookAlikes(feature_set="large").names(SETS)
