"""Weights of a module on disk, as plain arrays: no pickle is written or read."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from numerai_assets.errors import MethodError


def save_state(module: nn.Module, path: Path) -> None:
    """Writes parameters and buffers as one .npz, an array each."""
    np.savez(path, allow_pickle=False, **{name: value.cpu().numpy() for name, value in module.state_dict().items()})


def load_state(module: nn.Module, path: Path) -> None:
    """Fills the module with what `save_state` wrote. Raises MethodError for the state of a module of other shape."""
    expected = module.state_dict()
    with np.load(path, allow_pickle=False) as file:
        found = {name: torch.from_numpy(file[name]) for name in file.files}
    if strange := sorted(set(found) ^ set(expected)):
        where = "the module" if strange[0] in found else "the file"
        raise MethodError(f"{path}: {strange[0]!r} is not in {where}; the state is of another module")
    for name, value in found.items():
        if value.shape != expected[name].shape:
            raise MethodError(f"{path}: {name} is {tuple(value.shape)}, expected {tuple(expected[name].shape)}")
    module.load_state_dict(found)
