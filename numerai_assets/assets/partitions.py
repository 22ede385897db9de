"""The three partition keys: eras (weekly windows, keyed by their Friday), vintages and rounds (grown as they come)."""

import datetime as dt
import warnings

import dagster as dg

from numerai_assets.eras import FIRST_FRIDAY, era_on, friday_of, parse_era

# Dagster calls parameters beta that it has kept unchanged for years; told once a process, it says nothing new.
warnings.filterwarnings("ignore", category=dg.BetaWarning)

# The window that began last Friday is the newest era although it has not ended.
eras = dg.WeeklyPartitionsDefinition(start_date=FIRST_FRIDAY.isoformat(), day_offset=5, end_offset=1)
vintages = dg.DynamicPartitionsDefinition(name="vintages")
rounds = dg.DynamicPartitionsDefinition(name="rounds")


def era_partition(era: int) -> str:
    """Partition key of an era: the date of its Friday."""
    return friday_of(era).isoformat()


def era_of_partition(key: str) -> int:
    """Era of a partition key."""
    return era_on(dt.date.fromisoformat(key))


def vintage_of_partition(key: str) -> int:
    """Vintage of a partition key."""
    return parse_era(key)
