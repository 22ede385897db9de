"""What every method of the registry keeps to: it sees no target before its time, and finds nothing where nothing is."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from numerai_assets.eras import Wall, horizon_of
from numerai_assets.errors import MethodError
from numerai_assets.methods.contract import Method
from numerai_assets.methods.registry import METHODS, method_class
from numerai_assets.panel.panel import EraPanel, History

TARGET, OTHER = "target_ender_60", "target_ender_20"
VINTAGE, ERAS, ROWS, FEATURES = 40, 60, 60, 8
LATER = list(range(VINTAGE + 1, ERAS + 1))

# A small fit of a method that has these; what one needs beside is in its row below.
SMALL: dict[str, Any] = {
    "n_estimators": 12,
    "forest_trees": 12,
    "learning_rate": 0.2,
    "max_depth": 3,
    "colsample_bytree": 0.5,
    "every_eras": 1,
}
PARAMETERS: dict[str, dict[str, Any]] = {
    "mixer_boosting": {
        "phases": 2,
        "boosters": ["gbdt", "xgboost"],
        "extra_targets": [OTHER],
        "objective": "era_corr",
    },
}

Values = Callable[[int, np.ndarray], np.ndarray]
"""What stands in place of the targets (n,) of an era."""


def as_they_are(era: int, values: np.ndarray) -> np.ndarray:
    return values


def without_any(era: int, values: np.ndarray) -> np.ndarray:
    return np.full_like(values, np.nan)


def permuted(era: int, values: np.ndarray) -> np.ndarray:
    return np.random.default_rng(era).permutation(values)


@dataclass(frozen=True)
class World:
    """Eras 1 to `ERAS` with two targets that depend on two features.

    known, unknown: what stands in place of targets that have resolved by the era at hand, and of those that have not.
    """

    known: Values = as_they_are
    unknown: Values = as_they_are

    def fit_panel(self, method: Method) -> EraPanel:
        """What `method` is fitted on at the vintage, as the store hands it over."""
        panel = self._panel(range(1, Wall(VINTAGE, horizon_of(TARGET)).last_fit_era + 1), self.known)
        kept = {TARGET: panel.targets_of_block[TARGET]}
        for name in method.auxiliary_targets:
            wall = Wall(VINTAGE, horizon_of(name))
            kept[name] = tuple(
                values if era <= wall.last_fit_era else without_any(era, values)
                for era, values in zip(panel.eras, panel.targets_of_block[name], strict=True)
            )
        return replace(self._with_history(panel, method), targets_of_block=kept)

    def panel(self, method: Method, eras: list[int]) -> EraPanel:
        """Eras to predict; their own targets have not resolved."""
        return self._with_history(self._panel(eras, self.unknown), method)

    def _with_history(self, panel: EraPanel, method: Method) -> EraPanel:
        reads = method.reads

        def history(era: int) -> History:
            def earlier(past: int) -> EraPanel:
                found = self._panel([past], as_they_are)
                targets = {
                    name: ((self.known if made.has_resolved(past, name) else self.unknown)(past, values[0]),)
                    for name, values in found.targets_of_block.items()
                }
                return replace(found, targets_of_block=targets)

            made = History(era, 1, reads.look_back, reads.targets, {}, earlier, {}.__getitem__)
            return made

        return replace(panel, history_of=history)

    def _panel(self, eras: range | list[int], values: Values) -> EraPanel:
        blocks, ids, targets = [], [], {TARGET: [], OTHER: []}
        for era in eras:
            rng = np.random.default_rng([7, era])
            blocks.append(rng.integers(0, 5, (FEATURES, ROWS), dtype=np.int8))
            ids.append(np.array([f"n{era:04d}{row:04d}" for row in range(ROWS)], object))
            for made in targets.values():
                score = blocks[-1][0] - blocks[-1][1] + 2 * rng.normal(size=ROWS)
                levels = np.searchsorted(np.quantile(score, [0.05, 0.25, 0.75, 0.95]), score) / 4
                made.append(values(era, levels.astype(np.float32)))
        names = tuple(f"feature_{place}" for place in range(FEATURES))
        kept = {name: tuple(made) for name, made in targets.items()}
        return EraPanel(tuple(blocks), names, tuple(eras), tuple(ids), kept)


def small(name: str) -> Method:
    """An unfitted method, cut down."""
    method = method_class(name)
    assert issubclass(method, BaseEstimator)
    wanted = {key: value for key, value in SMALL.items() if key in method._get_param_names()}
    return method.of_profile("quick", **wanted | PARAMETERS.get(name, {}))


def fit(name: str, world: World) -> Method:
    method = small(name)
    return method.fit(world.fit_panel(method), target=TARGET, seed=5)


@pytest.fixture(scope="module", params=METHODS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def fitted(name: str) -> Method:
    return fit(name, World())


@pytest.mark.parametrize("unknown", [without_any, permuted])
def test_targets_that_have_not_resolved_change_no_prediction(name: str, fitted: Method, unknown: Values) -> None:
    world = World(unknown=unknown)

    prediction = fit(name, world).predict(world.panel(fitted, LATER))

    np.testing.assert_array_equal(prediction, fitted.predict(World().panel(fitted, LATER)))


def test_fitted_twice_with_the_same_seed_it_predicts_the_same(name: str, fitted: Method) -> None:
    panel = World().panel(fitted, LATER)

    np.testing.assert_array_equal(fit(name, World()).predict(panel), fitted.predict(panel))


def test_it_finds_what_is_there_and_nothing_in_targets_shuffled_within_eras(name: str, fitted: Method) -> None:
    chance = 1 / np.sqrt(len(LATER) * ROWS)
    shuffled = World(known=permuted, unknown=permuted)

    assert mean_corr(fitted, World()) > 5 * chance
    assert abs(mean_corr(fit(name, shuffled), shuffled)) < 3 * chance


def mean_corr(method: Method, world: World) -> float:
    panel = world.panel(method, LATER)
    eras = np.split(method.predict(panel), panel.edges[1:-1])
    targets = panel.targets_of_block[TARGET]
    return float(np.mean([np.corrcoef(p, target)[0, 1] for p, target in zip(eras, targets, strict=True)]))


def test_rows_of_an_era_in_another_order_are_predicted_in_that_order(fitted: Method) -> None:
    panel = World().panel(fitted, LATER[:3])
    order = np.random.default_rng(0).permutation(ROWS)
    turned = replace(
        panel,
        blocks=tuple(np.ascontiguousarray(block[:, order]) for block in panel.blocks),
        ids_of_block=tuple(np.asarray(ids)[order] for ids in panel.ids_of_block),
    )

    expected = np.concatenate([era[order] for era in np.split(fitted.predict(panel), 3)])

    np.testing.assert_allclose(fitted.predict(turned), expected, atol=1e-5)


def test_eras_that_come_later_change_no_prediction(fitted: Method) -> None:
    alone = fitted.predict(World().panel(fitted, LATER[:1]))

    np.testing.assert_array_equal(fitted.predict(World().panel(fitted, LATER[:3]))[:ROWS], alone)


def test_one_era_is_predicted_inside_zero_and_one_with_no_row_left_out(fitted: Method) -> None:
    prediction = fitted.predict(World().panel(fitted, LATER[:1]))

    assert prediction.shape == (ROWS,)
    assert prediction.dtype == np.float32
    assert ((prediction > 0) & (prediction < 1)).all()


def test_saved_and_loaded_it_predicts_the_same_from_the_same_features(fitted: Method, tmp_path: Path) -> None:
    panel = World().panel(fitted, LATER[:3])
    fitted.save(tmp_path)

    loaded = type(fitted).load(tmp_path)

    np.testing.assert_array_equal(loaded.predict(panel), fitted.predict(panel))
    assert loaded.feature_names_ == fitted.feature_names_
    assert loaded.get_params() == fitted.get_params()


def test_without_a_feature_it_was_fitted_on_or_in_another_order_it_does_not_predict(fitted: Method) -> None:
    panel = World().panel(fitted, LATER[:1])

    with pytest.raises(MethodError, match="given 7, 1 of them lacking, first 'feature_0'"):
        fitted.predict(panel.with_features(panel.feature_names[1:]))
    with pytest.raises(MethodError, match="given 8, some of them others or in another order"):
        fitted.predict(panel.with_features(panel.feature_names[::-1]))
