"""Targets of earlier eras, which must be there once they have resolved."""

import numpy as np
from numpy.typing import NDArray

from numerai_assets.eras import era_label
from numerai_assets.errors import FeatureError
from numerai_assets.panel.panel import History

MIDDLE = np.float32(0.5)
"""Every target lies in 0..1 and is symmetric about this in every era."""


def resolved_target(history: History, era: int, target: str) -> NDArray[np.float32]:
    """(n,) float32 resolved target of an earlier era. Raises FeatureError when no row has a value."""
    values = history.target(era, target)
    if np.isnan(values).all():
        raise FeatureError(
            f"{target} of era {era_label(era)} has no value, though it had resolved by era {era_label(history.era)}; "
            "bring the store's targets up to date and compute the era again"
        )
    return values


def centred_target(history: History, era: int, target: str) -> NDArray[np.float32]:
    """(n,) float32 resolved target of an earlier era, less its middle. Raises FeatureError when no row has a value."""
    return resolved_target(history, era, target) - MIDDLE
