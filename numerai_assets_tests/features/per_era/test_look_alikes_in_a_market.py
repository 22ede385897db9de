"""On a market where it is known who is who, a stock's look-alikes of some weeks ago are often the stock itself."""

import numpy as np
import pytest

from numerai_assets.eras import friday_of
from numerai_assets.features.trajectories.component_space import ComponentSpace
from numerai_assets.features.trajectories.nearest import nearest
from numerai_assets.sandbox.market.synthetic import SyntheticMarket
from numerai_assets.sandbox.published.encoder import bin_features
from numerai_assets.sandbox.published.sizes import SIZES


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    return SyntheticMarket(SIZES["tiny"].with_stocks(300), seed=0)


def right_links(market: SyntheticMarket, lag: int, whitening: float) -> float:
    """Share of the stocks that were there `lag` eras ago whose nearest row of then is the same stock."""
    era = market.first_era + 9
    (stocks, block), (stocks_then, block_then) = (
        (snapshot.stocks, bin_features(snapshot.characteristics, np.random.default_rng(number)).T.copy())
        for number in (era, era - lag)
        for snapshot in [market.snapshot(friday_of(number))]
    )
    space = ComponentSpace.of(block, 96, whitening)
    rows, _ = nearest(space.place(block), space.place(block_then), 1)
    known = np.isin(stocks, stocks_then)
    return float((stocks_then[rows[0]] == stocks)[known].mean())


def test_most_stocks_look_most_like_themselves_a_week_ago(market: SyntheticMarket) -> None:
    assert right_links(market, 1, 0.75) > 0.9


def test_the_share_falls_with_the_lag_and_stays_far_above_chance(market: SyntheticMarket) -> None:
    by_lag = [right_links(market, lag, 0.75) for lag in (1, 4, 8)]

    assert by_lag[0] > by_lag[1] > by_lag[2] > 10 / 300


def test_whitening_finds_more_of_them_than_the_components_as_they_are(market: SyntheticMarket) -> None:
    assert right_links(market, 4, 0.75) > right_links(market, 4, 0.0)
