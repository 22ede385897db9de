"""The extent of a full release: the rows, eras and features of v5.3."""

from dataclasses import dataclass

import numpy as np

from numerai_assets.eras import era_label
from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.full_release.feature_list import ALL_FEATURES
from numerai_assets.sandbox.published.sizes import FIRST_VALIDATION_ERA, TEST_ERAS

# (era, rows). Ends and turning points are real: 2,314 rows in era 1, 6,009 at most in training, 5,592 in era
# 575, about 7,300 at the end. The other two fit the totals: 2.75 M rows of training, 4.13 M of validation.
_ROWS = ((1, 2314), (150, 4365), (500, 6009), (575, 5592), (1000, 6311), (1234, 7300))
_FIRST_WINDOW = 156
_META_MODEL_ERAS = 101


@dataclass(frozen=True)
class FullShape:
    """The eras and features of a full release; fewer for a rehearsal.

    rows_share: share of the real rows in every era.
    """

    first_era: int = 1
    newest_era: int = 1234
    characteristics: int = ALL_FEATURES
    rows_share: float = 1.0

    def __post_init__(self) -> None:
        least = FIRST_VALIDATION_ERA + TEST_ERAS
        if not 1 <= self.first_era < FIRST_VALIDATION_ERA or not least <= self.newest_era <= _ROWS[-1][0]:
            raise SandboxError(
                f"eras {self.first_era}-{self.newest_era}: a full release begins between eras 1 and "
                f"{FIRST_VALIDATION_ERA - 1} and ends between eras {least} and {_ROWS[-1][0]}"
            )
        if not 60 <= self.characteristics <= ALL_FEATURES:
            raise SandboxError(f"{self.characteristics} features: a full release has 60 to {ALL_FEATURES}")
        if not 0 < self.rows_share <= 1:
            raise SandboxError(f"rows share {self.rows_share}: expected a share above 0, at most 1")

    def stocks_in(self, era: int) -> int:
        """Number of rows in an era."""
        eras, rows = np.array(_ROWS).T
        return int(self.rows_share * np.interp(era, eras, rows))

    @property
    def eras(self) -> range:
        return range(self.first_era, self.newest_era + 1)

    @property
    def training(self) -> range:
        return range(self.first_era, FIRST_VALIDATION_ERA)

    @property
    def validation(self) -> range:
        """Test eras included."""
        return range(FIRST_VALIDATION_ERA, self.newest_era + 1)

    @property
    def rows(self) -> int:
        """Rows of train and validation, except for a few stocks that leave late."""
        return sum(self.stocks_in(era) for era in self.eras)

    @property
    def first_benchmark_era(self) -> int:
        """Era 157, as in the official walk-forward; the middle of a shorter training part."""
        return self.first_era + min(_FIRST_WINDOW, len(self.training) // 2)

    @property
    def meta_model_from(self) -> int:
        """Era 1133 where the newest is 1234."""
        return max(FIRST_VALIDATION_ERA, self.newest_era - _META_MODEL_ERAS)

    def __str__(self) -> str:
        eras = f"eras {era_label(self.first_era)}-{era_label(self.newest_era)}"
        return f"{eras}, {self.characteristics:,} features, {self.rows:,} rows"
