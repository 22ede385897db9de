"""Which vintages there should be: the retrain policy of the settings as pure functions."""

from numerai_assets.settings import RetrainPolicy


def vintages_due(policy: RetrainPolicy, *, last_train_era: int, newest_era: int) -> list[int]:
    """Vintages that should exist when `newest_era` is the newest stored era, ascending.

    Vintages lie on a fixed grid that begins at the last train era, or at the policy's first vintage, so a backfill hits
    the very vintages the live process made. History is replayed every `history_every_eras`; of the finer live grid only
    the newest point is due, since points missed while nobody was there would never have been live. A vintage predicts
    eras after it, so the newest era itself is no vintage yet: the round of era E is predicted by a vintage before E.
    """
    first = _beginning(policy, last_train_era)
    last = newest_era - 1
    if last < first:
        return []
    history = range(first, last + 1, policy.history_every_eras)
    live = first + (last - first) // policy.every_eras * policy.every_eras
    return sorted({*history, live})


def history_vintage(policy: RetrainPolicy, vintage: int, *, last_train_era: int) -> int:
    """The newest vintage of history up to a vintage; the vintage itself where the grid begins after it."""
    first = _beginning(policy, last_train_era)
    return vintage - (vintage - first) % policy.history_every_eras if vintage >= first else vintage


def _beginning(policy: RetrainPolicy, last_train_era: int) -> int:
    return last_train_era if policy.first_vintage is None else policy.first_vintage
