"""The canvas and palette of plots of feature blocks: those of `evaluation`, so that all plots look alike."""

from numerai_assets.evaluation.canvas import empty_axes, png, side_by_side
from numerai_assets.evaluation.look import PALETTE as COLOURS

__all__ = ["COLOURS", "empty_axes", "png", "side_by_side"]
