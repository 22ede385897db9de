"""Price momentum as an asset: one file an era, from bars up to its Friday."""

from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from numerai_assets.assets.partitions import era_partition
from numerai_assets.assets.prices import price_assets, price_momentum, price_momentum_path
from numerai_assets.eras import friday_of
from numerai_assets.errors import FeatureError
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.settings import Settings

pytest.importorskip("talib", reason="needs the extra `prices`")

ERA = 60


def written(path: Path, listed: dict[str, int], days: int) -> Path:
    """A panel of stocks' bars up to ten days behind the Friday, each from its day of listing on."""
    dates = pd.bdate_range(end=friday_of(ERA) + pd.Timedelta(days=10), periods=days)
    frames = []
    for seed, (ticker, start) in enumerate(listed.items()):
        draw = np.random.default_rng(seed)
        close = 50 * np.exp(np.cumsum(draw.normal(0, 0.01, days)))
        frame = pd.DataFrame(
            {"ticker": ticker, "date": dates, "open": close, "high": close * 1.01, "low": close * 0.99}
        )
        frames.append(frame.assign(close=close, volume=draw.uniform(1e5, 1e6, days)).iloc[start:])
    pd.concat(frames).to_parquet(path, index=False)
    return path


@pytest.fixture
def panel(tmp_path: Path) -> Path:
    """A year and a half of two stocks' bars, the second listed later."""
    return written(tmp_path / "panel.parquet", {"AAA": 0, "BBB": 300}, 380)


def made(home: Path, panel: Path, era: int, *, price_network: int = 0) -> pd.DataFrame:
    workspace = Workspace(Settings(home=home, prices=panel, price_network=price_network))
    result = dg.materialize([price_momentum], partition_key=era_partition(era), resources={"workspace": workspace})
    assert result.success
    return pd.read_parquet(price_momentum_path(workspace, era))


def test_each_era_gets_the_indicators_of_its_friday(panel: Path, tmp_path: Path) -> None:
    found = made(tmp_path / "home", panel, ERA)

    assert found.index.names == ["ticker", "date"]
    assert set(found.index.get_level_values("date")) == {pd.Timestamp(friday_of(ERA))}
    assert set(found.index.get_level_values("ticker").astype(str)) == {"AAA", "BBB"}
    assert np.isfinite(found.loc["AAA"].to_numpy()).all()


def test_bars_after_the_friday_change_nothing(panel: Path, tmp_path: Path) -> None:
    before = made(tmp_path / "home", panel, ERA)
    bars = pd.read_parquet(panel)
    later = bars["date"] > pd.Timestamp(friday_of(ERA))
    assert later.any()
    bars.loc[later, ["open", "high", "low", "close"]] *= 1.5
    bars.to_parquet(panel, index=False)

    pd.testing.assert_frame_equal(made(tmp_path / "other", panel, ERA), before)


def test_neighbours_momentum_stands_beside_the_indicators_where_it_is_asked_for(tmp_path: Path) -> None:
    long = written(tmp_path / "long.parquet", {"AAA": 0, "BBB": 400, "CCC": 0}, 700)

    without, found = (made(tmp_path / f"{nodes}", long, ERA, price_network=nodes) for nodes in (0, 2))

    network = found.filter(like="network_").droplevel("date")
    pd.testing.assert_frame_equal(found.drop(columns=network.columns), without)
    assert network.shape == (3, 8)
    assert network.loc[["AAA", "CCC"]].notna().all(axis=None)
    assert network.loc["BBB"].isna().all()


def test_a_panel_that_is_not_there_is_named(tmp_path: Path) -> None:
    workspace = Workspace(Settings(home=tmp_path, prices=tmp_path / "gone.parquet"))

    with pytest.raises(FeatureError, match=r"gone.parquet': no such file"):
        dg.materialize([price_momentum], partition_key=era_partition(ERA), resources={"workspace": workspace})


def test_there_is_no_such_asset_without_a_panel(tmp_path: Path) -> None:
    assert price_assets(Settings(home=tmp_path)) == []
    assert price_assets(Settings(home=tmp_path, prices=Path("panel.parquet"))) == [price_momentum]
