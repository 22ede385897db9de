"""The momentum ensemble where the truth is known: against scikit-learn's forests, and on a world that only a past tells."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from numerai_assets.evaluation.metrics import Score, score_eras
from numerai_assets.features.contract import Columns, History
from numerai_assets.features.fitting.quintiles import quintiles
from numerai_assets.features.per_era.look_alikes import LookAlikes
from numerai_assets.features.per_era.target_momentum import TargetMomentum
from numerai_assets.methods.benchmark import Benchmark
from numerai_assets.methods.momentum_ensemble.estimator import PARTS, MomentumEnsemble
from numerai_assets.panel.panel import EraPanel
from numerai_assets.panel.targets import normal_scores
from numerai_assets_tests.features.planted import TARGET, panel_of

LAGS = (5, 6, 8, 10, 13, 17, 21)
LOOK_ALIKES = LookAlikes(lags=LAGS, dims=8, feature_set="all")
MOMENTUM = TargetMomentum(
    lags=LAGS, targets=(TARGET,), returns=(2, 4, 13), trends=((2, 6),), volatility=8, strength=8, oscillator=8
)


def corr_of(predictions: Sequence[NDArray[np.floating]], panel: EraPanel) -> NDArray[np.float64]:
    """(eras, m) CORR of each of m predictions (n,)."""
    columns = np.stack(predictions, axis=1).astype(float)
    return score_eras(columns, panel.rows_of_era, {"corr": Score(panel.target(TARGET))})["corr"]


def linear_and_products(eras: range, rows: int = 300) -> EraPanel:
    """18 features: six pay as they are, three pairs by their product, in noise."""
    blocks, scores = [], []
    for era in eras:
        rng = np.random.default_rng(era)
        block = rng.integers(0, 5, (18, rows), dtype=np.int8)
        x = (block - 2) / 2**0.5
        blocks.append(block)
        scores.append(x[0] * x[1] + x[2] * x[3] + x[:6].sum(axis=0) + 6 * rng.normal(size=rows))
    return panel_of(blocks, scores, list(eras))


@pytest.mark.parametrize(
    ("part", "forest"), [("random_forest", RandomForestRegressor), ("extra_trees", ExtraTreesRegressor)]
)
def test_its_forests_are_as_good_as_those_of_scikit_learn(part: str, forest: type[RegressorMixin]) -> None:
    fitted, judged = linear_and_products(range(1, 21)), linear_and_products(range(31, 91))
    ours = MomentumEnsemble(
        n_estimators=1, forest_trees=60, forest_leaves=64, forest_columns=1.0, colsample_bynode=0.6
    ).fit(fitted, target=TARGET, seed=0)
    aim = normal_scores(fitted.target(TARGET), fitted.rows_of_era)
    theirs = forest(60, max_leaf_nodes=64, min_samples_leaf=20, max_features=0.6, random_state=0).fit(
        fitted.features.astype(np.float32), aim
    )

    booster = ours.boosters_[PARTS.index(part)]
    found = corr_of([booster.predict(judged.features), theirs.predict(judged.features)], judged)

    mean_ours, mean_theirs = found.mean(axis=0)
    assert mean_theirs > 0.3
    # Two forests of one kind and other seeds differ by 1 or 2 %.
    assert mean_ours > 0.95 * mean_theirs


def wandering_payoffs(eras: range, rows: int = 200) -> tuple[EraPanel, list[NDArray[np.float64]]]:
    """16 features that show where stocks stand in four dimensions, and the payoff of each dimension, which wanders.

    Payoffs are 0 on average and stay about 20 eras on one side. Also what an oracle expects of each row, by era.
    """
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(16, 4))
    place, paid = rng.normal(size=(4, rows)), rng.normal(size=4)
    blocks, scores, expected = [], [], []
    for _ in eras:
        place = 0.98 * place + 0.02**0.5 * 1.4 * rng.normal(size=place.shape)
        paid = 0.97 * paid + (1 - 0.97**2) ** 0.5 * rng.normal(size=4)
        order = rng.permutation(rows)
        shown = (loadings @ place + rng.normal(size=(16, rows)))[:, order]
        blocks.append(quintiles(shown))
        expected.append((paid @ place)[order])
        scores.append(expected[-1] + 4 * rng.normal(size=rows))
    return panel_of(blocks, scores, list(eras)), expected


def momentum_columns(panel: EraPanel) -> list[Columns]:
    """Levels of the momentum of the resolved targets of look-alikes, era by era, as the pipeline would make them."""
    eras = {era.eras[0]: era for era in panel.each_era()}
    sets = {"all": panel.feature_names}

    def history(era: int, block: LookAlikes | TargetMomentum, alikes: Columns | None) -> History:
        def read_columns(name: str) -> Columns:
            assert name == LOOK_ALIKES.name and alikes is not None
            return alikes

        return History(era, panel.eras[0], block.look_back, block.targets, sets, eras.__getitem__, read_columns)

    found = []
    for era, of_era in eras.items():
        alikes = LOOK_ALIKES.compute(of_era, history(era, LOOK_ALIKES, None))
        found.append(quintiles(MOMENTUM.compute(of_era, history(era, MOMENTUM, alikes))))
    return found


def test_momentum_of_look_alikes_beats_the_benchmark_on_the_features_where_payoffs_wander() -> None:
    panel, expected = wandering_payoffs(range(1, 141))
    digests = ["" for _ in panel.eras]
    with_momentum = panel.with_columns(MOMENTUM.names({}), momentum_columns(panel), digests)
    fitted, judged = list(range(22, 93)), list(range(101, 141))
    few = {"n_estimators": 150, "learning_rate": 0.05}

    raw = Benchmark(**few, colsample_bytree=0.5).fit(panel.with_eras(fitted), target=TARGET, seed=0)
    ours = MomentumEnsemble(**few, forest_trees=60, forest_leaves=32, forest_columns=0.5, colsample_bytree=0.5).fit(
        with_momentum.with_eras(fitted), target=TARGET, seed=0
    )

    predictions = [
        ours.predict(with_momentum.with_eras(judged)),
        raw.predict(panel.with_eras(judged)),
        np.concatenate(expected[100:]),
    ]
    ensemble, benchmark, oracle = corr_of(predictions, panel.with_eras(judged)).T
    difference = ensemble - benchmark
    assert ensemble.mean() > 0.5 * oracle.mean()
    assert ensemble.mean() > 1.5 * benchmark.mean()
    # Neighbouring eras share the payoff, so they are worth far fewer.
    assert difference.mean() > 3 * difference.std() / (len(difference) / 10) ** 0.5
