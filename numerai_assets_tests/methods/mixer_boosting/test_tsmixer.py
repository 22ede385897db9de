"""TSMixer mixes over time and over channels, each on its own, and contains the temporal linear model."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from numerai_assets.errors import MethodError
from numerai_assets.methods.mixer_boosting.tsmixer import RevIN, TSMixer, TSMixerExt

LENGTH, CHANNELS, HORIZON = 10, 4, 3
LAWFUL = settings(deadline=None, max_examples=25)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mixer(seed: int = 0, **parameters: Any) -> TSMixer:
    usual: dict[str, Any] = {"blocks": 2, "hidden": 6, "dropout": 0.0}
    return TSMixer(LENGTH, CHANNELS, HORIZON, **usual | parameters, generator=seeded(seed))


def extended(seed: int = 0, **parameters: Any) -> TSMixerExt:
    usual: dict[str, Any] = {"history": 4, "future": 3, "static": 2, "outputs": 2, "width": 5, "hidden": 6}
    return TSMixerExt(LENGTH, HORIZON, **usual | {"dropout": 0.0} | parameters, generator=seeded(seed))


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=seeded(seed))


def given_to_extended(rows: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    return drawn(rows, LENGTH, 4), drawn(rows, HORIZON, 3, seed=2), drawn(rows, 2, seed=3)


def trained_a_little(model: TSMixer) -> TSMixer:
    """With statistics of its own in every cell, and an affine RevIN that is not the identity."""
    with torch.no_grad():
        model.revin.weight.copy_(torch.linspace(0.5, 1.5, CHANNELS))
        model.revin.bias.copy_(torch.linspace(-1, 1, CHANNELS))
        for step in range(20):
            model(drawn(16, LENGTH, CHANNELS, seed=step))
    return model.eval()


def test_channels_are_left_to_themselves_unless_features_are_mixed() -> None:
    history = drawn(1, LENGTH, CHANNELS)

    for mixed in (False, True):
        model = trained_a_little(mixer(feature_mixing=mixed))
        slopes = torch.autograd.functional.jacobian(model, history)[0, :, :, 0]  # (T, C, L, C)
        reach = slopes.abs().amax(dim=(0, 2))
        assert (reach.diagonal() > 0).all()
        assert bool((reach[~torch.eye(CHANNELS, dtype=torch.bool)] == 0).all()) is not mixed


def test_the_order_of_channels_means_something_only_where_features_are_mixed() -> None:
    history, order = drawn(5, LENGTH, CHANNELS), torch.tensor([2, 0, 3, 1])

    # Before training all parameters and statistics of one channel are those of any other.
    for mixed in (False, True):
        model = mixer(feature_mixing=mixed).eval()
        same = torch.allclose(model(history[:, :, order]), model(history)[:, :, order], atol=1e-5)
        assert same is not mixed


@given(shift=st.floats(-50, 50), scale=st.floats(0.1, 20), mixed=st.booleans())
@LAWFUL
def test_forecasts_follow_the_scale_and_the_level_of_their_window(shift: float, scale: float, mixed: bool) -> None:
    model = trained_a_little(mixer(feature_mixing=mixed)).double()
    history = drawn(3, LENGTH, CHANNELS).double()

    moved = model(scale * history + shift)

    # Variances have 1e-5 added to them.
    torch.testing.assert_close(moved, scale * model(history) + shift, atol=2e-3 * scale, rtol=1e-3)


def test_revin_is_undone_exactly() -> None:
    revin = RevIN(CHANNELS).double()
    with torch.no_grad():
        revin.weight.copy_(torch.tensor([0.5, -1.0, 2.0, 3.0]))
        revin.bias.copy_(torch.tensor([0.0, 1.0, -1.0, 5.0]))
    history = 100 + 7 * drawn(6, LENGTH, CHANNELS).double()

    normalised, moments = revin(history)

    torch.testing.assert_close(revin.undo(normalised, moments), history)
    plain = (normalised - revin.bias) / revin.weight
    torch.testing.assert_close(plain.mean(dim=1), torch.zeros(6, CHANNELS).double())
    torch.testing.assert_close(plain.std(dim=1, correction=0), torch.ones(6, CHANNELS).double(), atol=1e-5, rtol=0)


def test_without_weight_on_mixing_the_model_is_linear_over_time() -> None:
    model, history = mixer(), drawn(5, LENGTH, CHANNELS)
    with torch.no_grad():
        for name, weights in model.blocks.named_parameters():
            if ".mix." in name:
                weights.zero_()

    for linear in (model.eval(), mixer(blocks=0)):
        linear.head.load_state_dict(model.head.state_dict())
        normalised, moments = linear.revin(history)
        by_hand = torch.einsum("nlc,tl->ntc", normalised, model.head.weight) + model.head.bias[:, None]
        torch.testing.assert_close(linear(history), linear.revin.undo(by_hand, moments))


def test_every_cell_of_time_and_channel_has_statistics_of_its_own_as_keras_keeps_them() -> None:
    model, history = mixer(blocks=1), drawn(8, LENGTH, CHANNELS) * torch.arange(1, 5) + 3
    norm = model.get_submodule("blocks.0.norm")
    values, _ = model.revin(history)

    normalised = norm(values)

    mean, variance = values.mean(dim=0), values.var(dim=0, correction=0)
    torch.testing.assert_close(normalised, (values - mean) / torch.sqrt(variance + 1e-3))
    kept = dict(norm.named_buffers())
    torch.testing.assert_close(kept["cells.running_mean"], (0.01 * mean).flatten())
    torch.testing.assert_close(kept["cells.running_var"], (0.99 + 0.01 * values.var(dim=0)).flatten())


def test_dropout_is_drawn_from_the_seed_and_only_in_training() -> None:
    history = drawn(5, LENGTH, CHANNELS)
    before = torch.get_rng_state()

    one, same, other = (mixer(seed, dropout=0.5)(history) for seed in (0, 0, 1))

    assert torch.equal(one, same)
    assert not torch.allclose(one, other)
    assert torch.equal(torch.get_rng_state(), before)
    model = mixer(dropout=0.5)
    assert not torch.equal(model(history), model(history))
    model.eval()
    assert torch.equal(model(history), model(history))
    with pytest.raises(MethodError, match="dropout 1: expected a share from 0 to below 1"):
        mixer(dropout=1)


@pytest.mark.parametrize("make", [mixer, extended])
def test_the_same_seed_gives_the_same_first_weights_and_another_gives_others(
    make: Callable[[int], torch.nn.Module],
) -> None:
    one, same, other = (torch.nn.utils.parameters_to_vector(make(seed).parameters()) for seed in (0, 0, 1))

    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_past_future_and_static_covariates_reach_every_step() -> None:
    model, given_ = extended(), given_to_extended()
    before = model(*given_)

    assert before.shape == (7, HORIZON, 2)
    assert model.representation(*given_).shape == (7, HORIZON, 5)
    for place in range(3):
        moved = [each + 1 if place == at else each for at, each in enumerate(given_)]
        assert ((model(*moved) - before).abs() > 1e-6).any(dim=0).all()


def test_a_row_is_given_the_same_whatever_rows_it_comes_with() -> None:
    model, given_ = extended().train(), given_to_extended()

    some = model(*(each[2:4] for each in given_))

    torch.testing.assert_close(some, model(*given_)[2:4])


def test_outputs_are_what_the_heads_of_their_steps_make_of_the_representation() -> None:
    model, given_ = extended(), given_to_extended()
    with torch.no_grad():
        model.head_weight[1].zero_()
        model.head_bias[1] = 5

    outputs, inside = model(*given_), model.representation(*given_)

    assert (outputs[:, 1] == 5).all()
    torch.testing.assert_close(outputs[:, 0], inside[:, 0] @ model.head_weight[0].T + model.head_bias[0])
