"""Windows hold what they say, and the model that is left is the one with the least error on unseen windows."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.tsmixer_ett import EXPECTED, last_value, split_of
from numerai_assets.errors import MethodError
from numerai_assets.methods.mixer_boosting.tsmixer import TSMixer
from numerai_assets.methods.mixer_boosting.windows import Training, Windows, errors, fit_windows

SEASONS = Training(epochs=6, batch=16, learning_rate=3e-3, patience=6)


def seasons(steps: int, seed: int) -> Tensor:
    """Three series that turn at different speeds, in some noise."""
    rng = np.random.default_rng(seed)
    turns = np.arange(steps)[:, None] / np.array([6, 9, 12]) + rng.random(3)
    return torch.from_numpy((np.sin(2 * np.pi * turns) + 0.2 * rng.normal(size=turns.shape)).astype(np.float32))


def windows(steps: int = 161, seed: int = 0) -> Windows:
    return Windows(seasons(steps, seed), 24, 4)


def mixer(seed: int = 0) -> TSMixer:
    return TSMixer(24, 3, 4, blocks=1, hidden=8, dropout=0.3, generator=torch.Generator().manual_seed(seed))


def test_a_window_is_its_steps_and_those_that_follow() -> None:
    all_of_them = windows(40)

    history, ahead = all_of_them.at(range(len(all_of_them)))

    assert (history.shape, ahead.shape) == ((13, 24, 3), (13, 4, 3))
    assert torch.equal(torch.cat([history[5], ahead[5]]), all_of_them.series[5:33])
    with pytest.raises(MethodError, match=r"windows of 24 \+ 4 steps: the series has 20"):
        windows(20)


def test_errors_are_means_over_all_cells() -> None:
    some = windows(600)
    _, ahead = some.at(range(len(some)))

    found = errors(lambda history: torch.zeros(len(history), 4, 3), some)

    assert found.squared == pytest.approx(float(ahead.square().mean()), rel=1e-5)
    assert found.absolute == pytest.approx(float(ahead.abs().mean()), rel=1e-5)


def test_a_fit_finds_seasons_and_keeps_its_best_epoch() -> None:
    fitted, unseen = windows(), windows(100, seed=1)
    model = mixer()

    curve = fit_windows(model, fitted, unseen, SEASONS, seed=0)

    assert not model.training
    assert errors(model, unseen) == min(curve, key=lambda each: each.squared)
    assert min(curve, key=lambda each: each.squared).squared < 0.5 * errors(last_value(4), unseen).squared


def test_without_a_better_epoch_a_fit_stops_and_goes_back() -> None:
    fitted, unseen = windows(), Windows(-seasons(100, 0).abs() * 100, 24, 4)
    away = Training(epochs=9, batch=16, learning_rate=1.0, patience=2)
    model = mixer()

    curve = fit_windows(model, fitted, unseen, away, seed=0)

    least = int(np.argmin([each.squared for each in curve]))
    assert len(curve) == min(least + 1 + 2, 9)
    assert errors(model, unseen) == curve[least]


def test_a_fit_that_leads_nowhere_is_refused() -> None:
    gap = windows(100, seed=1)
    gap.series[50] = torch.nan

    with pytest.raises(MethodError, match="is nan after epoch 1"):
        fit_windows(mixer(), windows(), gap, SEASONS, seed=0)


def test_a_last_batch_of_one_window_is_left_out() -> None:
    # 134 windows leave two for the ninth batch of 16, 129 one.
    for steps in (161, 156):
        fit_windows(mixer(), windows(steps), windows(60, seed=1), Training(epochs=1, batch=16), seed=0)


def test_the_same_seed_gives_the_same_fit_and_another_gives_another() -> None:
    fitted, unseen, once = windows(), windows(100, seed=1), Training(epochs=1, batch=16)

    def weights(seed: int) -> Tensor:
        model = mixer()
        fit_windows(model, fitted, unseen, once, seed=seed)
        return torch.nn.utils.parameters_to_vector(copy.deepcopy(model.state_dict()).values())

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_ett_is_split_into_the_windows_of_the_paper_and_its_last_value_scores_what_is_known(shared_data: Path) -> None:
    path = shared_data / "ETTh1.csv"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in {shared_data}")
    expected = EXPECTED["ETTh1", 512, 96]

    split = split_of(path, 512, 96)

    assert (len(split.fitted), len(split.unseen), len(split.judged)) == expected.windows
    assert errors(last_value(96), split.judged).squared == pytest.approx(expected.last_value, abs=0.0005)


def test_a_short_fit_on_ett_beats_the_last_value_by_far(shared_data: Path) -> None:
    path = shared_data / "ETTh1.csv"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in {shared_data}")
    split = split_of(path, 96, 24)
    model = TSMixer(96, 7, 24, blocks=1, hidden=8, dropout=0.0, generator=torch.Generator().manual_seed(0))

    fit_windows(model, split.fitted, split.unseen, Training(epochs=1, batch=64), seed=0)

    assert errors(model, split.judged).squared < 0.5 * errors(last_value(24), split.judged).squared


@pytest.mark.parametrize("is_dated", [True, False])
@pytest.mark.parametrize(("name", "parts"), [("ETTm9", (34560, 11520, 11520)), ("prices", (42000, 14000, 14000))])
def test_months_are_as_many_rows_as_the_name_says_and_other_files_are_split_by_rows(
    tmp_path: Path, name: str, parts: tuple[int, int, int], is_dated: bool
) -> None:
    path = tmp_path / f"{name}.csv"
    header, begin = ("date,a,b\n", "2020-01-01,") if is_dated else ("", "")
    path.write_text(header + "".join(f"{begin}{row % 7},{row}\n" for row in range(70000)), encoding="utf-8")

    split = split_of(path, 8, 2)

    assert (len(split.fitted) + 9, len(split.unseen) + 1, len(split.judged) + 1) == parts
    assert split.fitted.series.shape == (parts[0], 2)
    torch.testing.assert_close(split.fitted.series[-8:], split.unseen.series[:8])
