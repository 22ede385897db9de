"""On a market where it is known which features pay, what a fit learnt of them is seen by every measure of importance."""

from dataclasses import replace

import pytest

from benchmarks.planted_features import MEASURES, importances_of, share_in_top_decile, world
from numerai_assets.eras import PAYOUT_TARGET, horizon_of, purge
from numerai_assets.methods.benchmark import Benchmark
from numerai_assets.sandbox.market.economy import Dials
from numerai_assets.sandbox.published.sizes import SIZES

SIZE = replace(SIZES["tiny"].with_stocks(400), characteristics=100)
# From when all characteristics are there.
ERAS = range(SIZE.first_era + 60, SIZE.first_era + 160)
JUDGED = ERAS[-16:]
STRONG = Dials(effects=0.4, regimes=0, spillover=0, drift=0)


@pytest.mark.parametrize(("kind", "interactions"), [("quadratic", 0.0), ("interactions", 1.0)])
def test_features_that_pay_much_are_in_the_top_decile_by_every_measure(kind: str, interactions: float) -> None:
    made = world(SIZE, replace(STRONG, interactions=interactions), 1, ERAS, JUDGED)
    # A tree that is offered a tenth of the features rarely sees both of a pair.
    method = Benchmark(n_estimators=60, learning_rate=0.1, colsample_bytree=1.0)
    fitted = made.panel.with_eras(range(ERAS[0], JUDGED[0] - purge(horizon_of(PAYOUT_TARGET))))
    method.fit(fitted, target=PAYOUT_TARGET, seed=0)

    table = importances_of(method, made.panel.with_eras(JUDGED), seed=0, rows=20)

    assert {measure: share_in_top_decile(table, measure, made.carriers[kind]) for measure in MEASURES} == dict.fromkeys(
        MEASURES, 1.0
    )
