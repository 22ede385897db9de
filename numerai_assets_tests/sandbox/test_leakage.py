"""Overlapping targets leak, and the sandbox shows it: in a market where nothing pays, only a split without purge scores."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsRegressor

from numerai_assets.eras import purge
from numerai_assets.sandbox.calibration.enlarged import Enlarged
from numerai_assets.sandbox.calibration.measures import corr, standard_error
from numerai_assets.sandbox.market.economy import Dials
from numerai_assets.sandbox.published.sizes import SIZES

FIRST = SIZES["tiny"].first_era
JUDGED = range(FIRST + 24, FIRST + 60, 3)
FITTED_ERAS = 4
NOTHING_PAYS = Dials(effects=0, regimes=0, spillover=0, drift=0)


@pytest.fixture(scope="module")
def economy() -> Enlarged:
    return Enlarged(SIZES["tiny"], 0, stocks=400, begins=FIRST, dials=NOTHING_PAYS)


def scores(economy: Enlarged, target: str, gap: int) -> np.ndarray:
    """CORR of each judged era when the newest fitted era lies `gap` eras and one before it."""
    found = []
    for era in JUDGED:
        fitted = range(era - gap - FITTED_ERAS, era - gap)
        x = np.concatenate([economy.features(e) for e in fitted])
        y = np.concatenate([economy.target(e, target) for e in fitted])
        model = KNeighborsRegressor(5).fit(x, y)
        found.append(corr(model.predict(economy.features(era))[:, None], economy.target(era, target))[0])
    return np.array(found)


@pytest.mark.parametrize("horizon", [20, 60])
def test_a_split_without_purge_scores_where_an_honest_one_finds_nothing(economy: Enlarged, horizon: int) -> None:
    target = f"target_ender_{horizon}"
    leaky, honest = scores(economy, target, 0), scores(economy, target, purge(horizon))
    # Twelve eras three apart share returns with their neighbours.
    error = standard_error(honest, 4)
    assert abs(honest.mean()) < 3 * error + 0.01
    assert leaky.mean() > honest.mean() + 0.1 and leaky.mean() > 5 * error
