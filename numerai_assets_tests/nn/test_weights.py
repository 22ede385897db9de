"""Weights on disk are those that were saved, or are refused."""

from pathlib import Path

import pytest
import torch

from numerai_assets.errors import MethodError
from numerai_assets.methods.mixer_boosting.tsmixer import TSMixer
from numerai_assets.nn.weights import load_state, save_state


def mixer(seed: int = 0, *, blocks: int = 2, hidden: int = 6) -> TSMixer:
    return TSMixer(10, 4, 3, blocks=blocks, hidden=hidden, generator=torch.Generator().manual_seed(seed))


def test_weights_and_statistics_come_back_from_a_file_without_pickle(tmp_path: Path) -> None:
    model, other, history = mixer(0), mixer(1), torch.randn(5, 10, 4, generator=torch.Generator().manual_seed(2))
    model(history)

    save_state(model, tmp_path / "weights.npz")
    load_state(other, tmp_path / "weights.npz")

    assert torch.equal(other.eval()(history), model.eval()(history))


def test_the_state_of_another_module_is_refused(tmp_path: Path) -> None:
    save_state(mixer(), tmp_path / "weights.npz")

    with pytest.raises(MethodError, match=r"blocks\.2\.mix.* is not in the module"):
        load_state(mixer(blocks=1), tmp_path / "weights.npz")
    with pytest.raises(MethodError, match=r"blocks\.4\.mix.* is not in the file"):
        load_state(mixer(blocks=3), tmp_path / "weights.npz")
    with pytest.raises(MethodError, match=r"is \(6, 4\), expected \(9, 4\)"):
        load_state(mixer(hidden=9), tmp_path / "weights.npz")
