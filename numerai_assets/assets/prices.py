"""Indicators of the user's own price panel at the Friday of every era, keyed by ticker and date.

Numerai's ids are no tickers, and nothing here joins the two: these are for methods over stocks that the user knows.
"""

from pathlib import Path

import dagster as dg
import pandas as pd

from numerai_assets.assets.partitions import era_of_partition, eras
from numerai_assets.assets.reporting import StageProgress, measured, picture, result
from numerai_assets.eras import era_label, friday_of
from numerai_assets.errors import FeatureError
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.settings import Settings
from numerai_assets.store.atomic import replacing_file

PRICE_MOMENTUM = dg.AssetKey(["features", "price_momentum"])


def price_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The asset of price momentum where the settings name a price panel; none otherwise."""
    return [price_momentum] if settings.price_panel is not None else []


@dg.asset(
    key=PRICE_MOMENTUM,
    partitions_def=eras,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="features",
    kinds={"parquet"},
    pool="store",
)
def price_momentum(context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult:
    """RSI, MACD, stochastic, volatility-normalised returns and more of each stock, from bars up to the era's Friday; where
    `price_network` is set, the momentum of its neighbours too.
    """
    import pyarrow.parquet as pq

    from numerai_assets.features.prices.momentum import COLUMNS, price_features, price_picture
    from numerai_assets.features.prices.network import NetworkRules, price_network

    path = workspace.settings.price_panel
    if path is None or not path.is_file():
        raise FeatureError(f"prices = {str(path)!r}: no such file")
    wanted = [era_of_partition(key) for key in context.partition_keys]
    with measured() as cost:
        bars = pq.read_table(path, columns=list(COLUMNS))
        fridays = [friday_of(era) for era in wanted]
        found = price_features(bars, fridays, progress=StageProgress(context, "price momentum"))
        if nodes := workspace.settings.price_network:
            progress = StageProgress(context, "price network")
            found = found.join(price_network(bars, fridays, rules=NetworkRules(stocks=nodes), progress=progress))
        by_date = {pd.Timestamp(str(date)): rows for date, rows in found.groupby(level="date", observed=True)}
        for era, friday in zip(wanted, fridays, strict=True):
            with replacing_file(price_momentum_path(workspace, era)) as aside:
                by_date.get(pd.Timestamp(friday), found.iloc[:0]).to_parquet(aside)
    shown = {"eras": f"{era_label(wanted[0])}-{era_label(wanted[-1])}", "rows": len(found), "columns": found.shape[1]}
    if len(found):
        ticker = str(found.index.get_level_values("ticker")[0])
        shown["what_it_does"] = picture(price_picture(bars, found, ticker), ticker)
    return result(shown, cost)


def price_momentum_path(workspace: Workspace, era: int) -> Path:
    """Where the indicators of an era's Friday lie: Parquet, index (ticker, date)."""
    return workspace.folder / "price_momentum" / f"{era_label(era)}.parquet"
