"""The training eras of a learned block, and the one era that it transforms at a time."""

from numerai_assets.errors import FeatureError
from numerai_assets.panel.panel import EraPanel


def eras_to_fit(panel: EraPanel, target: str, every_eras: int, *, block: str) -> list[int]:
    """Every n-th era in which the target varies, counted back from the newest of them, ascending.

    Raises FeatureError, with the name of the block, when there is none, and StoreError for a target not in the panel.
    """
    known = panel.eras_with(target, varying=True)
    if not known:
        raise FeatureError(
            f"{block}: no era of the panel, {panel.eras[:1]}..{panel.eras[-1:]}, has a {target} that varies"
        )
    return [era for era in known if (known[-1] - era) % every_eras == 0]


def only_era(panel: EraPanel, *, block: str) -> int:
    """The era of a panel of one era. Raises FeatureError, with the name of the block, for several eras."""
    if len(panel.eras) != 1:
        raise FeatureError(f"{block}: one era at a time, found {len(panel.eras)}")
    return panel.eras[0]
