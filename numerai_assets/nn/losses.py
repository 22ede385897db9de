"""Losses that more than one net is trained on, as measures: a loss is one of these with its sign turned."""

from torch import Tensor


def era_correlations(predictions: Tensor, target: Tensor) -> Tensor:
    """(M,) Pearson correlations of predictions (M, n) with the target (n,) of rows of one era; 0 for a constant one."""
    ours = predictions - predictions.mean(dim=1, keepdim=True)
    centred = target - target.mean()
    found: Tensor = (ours @ centred) / (ours.norm(dim=1) * centred.norm()).clamp_min(1e-12)
    return found
