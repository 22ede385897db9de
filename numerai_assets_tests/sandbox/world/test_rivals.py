"""The other participants are fitted walk-forward, without a look at what was not known."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.published.prediction_names import BENCHMARKS, Rival
from numerai_assets.sandbox.published.sizes import SIZES
from numerai_assets.sandbox.world.rivals import OTHERS, Rivals, fit_eras, meta_model, rank

SIZE = replace(SIZES["tiny"], trees=8)
START = SIZE.first_benchmark_era + SIZE.chunk
GROUPS = ["constitution", "charisma", "quantum", "rain"] * 3


class MadeHistory:
    """Eras of 40 rows whose target is the first feature; remembers which were asked for; may be altered from an era."""

    def __init__(self, altered_from: int = 10_000) -> None:
        self.asked: dict[str, set[int]] = {}
        self._altered_from = altered_from

    def features(self, era: int) -> NDArray[Any]:
        return np.random.default_rng([era, era >= self._altered_from]).integers(0, 5, (40, 12), dtype=np.int8)

    def target(self, era: int, name: str) -> NDArray[Any]:
        self.asked.setdefault(name, set()).add(era)
        return (self.features(era)[:, 0] / 4).astype(np.float32)


@pytest.mark.parametrize("rival", BENCHMARKS + OTHERS, ids=lambda rival: rival.name)
def test_nothing_after_the_purge_is_looked_at(rival: Rival, tmp_path: Path) -> None:
    history = MadeHistory()
    Rivals(tmp_path, SIZE, GROUPS).fit(rival, START, history)
    purge = 8 if rival.target.endswith("_20") else 16
    assert max(history.asked[rival.target]) == START - 1 - purge


def test_every_nth_era_is_fitted_on_and_the_newest_allowed_is_one_of_them() -> None:
    eras = fit_eras(BENCHMARKS[1], 595, replace(SIZE, every=4))
    assert eras[-1] == 578 and set(np.diff(eras)) == {4} and eras[0] >= SIZE.first_era


def test_predictions_do_not_depend_on_what_comes_after_the_purge(tmp_path: Path) -> None:
    rows = MadeHistory().features(START)
    made = []
    for name, history in (("a", MadeHistory()), ("b", MadeHistory(altered_from=START - 8))):
        rivals = Rivals(tmp_path / name, SIZE, GROUPS)
        for rival in BENCHMARKS:
            rivals.fit(rival, START, history)
        made.append(rivals.predict(BENCHMARKS, START, rows))
    assert all((made[0][name] == made[1][name]).all() for name in made[0])


def test_models_are_kept_and_read_back_the_same(tmp_path: Path) -> None:
    rows, everyone = MadeHistory().features(START), BENCHMARKS + OTHERS
    first = Rivals(tmp_path, SIZE, GROUPS)
    for rival in everyone:
        first.fit(rival, START, MadeHistory())
    again = Rivals(tmp_path, SIZE, GROUPS)
    unread = MadeHistory()
    again.fit(BENCHMARKS[0], START, unread)
    one, other = first.predict(everyone, START, rows), again.predict(everyone, START, rows)
    assert not unread.asked
    assert all((one[rival.name] == other[rival.name]).all() for rival in everyone)
    assert {path.suffix for path in (tmp_path / f"{START:04d}").iterdir()} == {".txt", ".npz"}


def test_predictions_find_the_signal_and_are_ranks_inside_the_unit_interval(tmp_path: Path) -> None:
    history, rivals = MadeHistory(), Rivals(tmp_path, replace(SIZE, trees=60), GROUPS)
    rivals.fit(BENCHMARKS[1], START, history)
    rows = history.features(START)
    predictions = rivals.predict(BENCHMARKS[1:], START, rows)["v53_lgbm_ender60"]
    assert predictions.min() > 0 and predictions.max() < 1
    assert np.corrcoef(predictions, rows[:, 0])[0, 1] > 0.6


def test_the_meta_model_is_weighted_by_stake_and_ranked() -> None:
    up = rank(np.arange(50.0))
    blended = meta_model({"v53_lgbm_ender60": up, "ridge_alpha60": up[::-1]})
    np.testing.assert_allclose(blended, up)


def test_there_is_no_chunk_before_the_first_and_too_short_a_history_is_refused(tmp_path: Path) -> None:
    rivals = Rivals(tmp_path, SIZE, GROUPS)
    assert rivals.chunk_of(SIZE.first_benchmark_era - 1) is None
    assert rivals.chunk_of(START + SIZE.chunk - 1) == START
    with pytest.raises(SandboxError, match="no era before"):
        rivals.fit(BENCHMARKS[1], SIZE.first_era + 5, MadeHistory())
