"""A bank of mixers is that many mixers: each computes and learns what it would alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from numerai_assets.methods.mixer_boosting.mixer_bank import MixerBank, MixerShape
from numerai_assets.nn.losses import era_correlations

SHAPES = st.builds(
    MixerShape,
    mixers=st.integers(1, 4),
    groups=st.integers(1, 4),
    channels=st.integers(1, 4),
    width=st.integers(1, 5),
    hidden=st.integers(1, 5),
    blocks=st.integers(0, 2),
    units=st.integers(1, 3),
)
LAWFUL = settings(deadline=None, max_examples=25)


def inputs(shape: MixerShape, rows: int = 7, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 5, (shape.mixers, shape.groups, shape.channels, rows), generator=generator)
    return (levels - 2) / 2


def bank_of(shape: MixerShape, seed: int = 0) -> MixerBank:
    return MixerBank(shape, generator=torch.Generator().manual_seed(seed))


def alone(bank: MixerBank, mixer: int) -> MixerBank:
    """One mixer of the bank as a bank of its own."""
    sizes = {**vars(bank.shape), "mixers": 1}
    single = MixerBank(MixerShape(**sizes))
    single.load_state_dict({name: values[mixer : mixer + 1].clone() for name, values in bank.state_dict().items()})
    return single


@given(shape=SHAPES)
@LAWFUL
def test_each_mixer_predicts_what_it_would_alone(shape: MixerShape) -> None:
    bank, features = bank_of(shape), inputs(shape)

    together = bank(features)

    assert together.shape == (shape.mixers, 7)
    for mixer in range(shape.mixers):
        torch.testing.assert_close(together[mixer : mixer + 1], alone(bank, mixer)(features[mixer : mixer + 1]))


@given(shape=SHAPES, start=st.integers(0, 3), count=st.integers(1, 4))
@LAWFUL
def test_some_of_the_mixers_predict_what_they_do_among_all(shape: MixerShape, start: int, count: int) -> None:
    bank, features = bank_of(shape), inputs(shape)
    some, dropped = slice(start, start + count), bank.dropout(0.5, torch.Generator().manual_seed(0))

    torch.testing.assert_close(bank(features[some], dropped, some), bank(features, dropped)[some])


@pytest.mark.parametrize("rows", [1, 10_000, 10_000_000])
def test_the_parts_of_a_bank_are_all_its_mixers_in_order(rows: int) -> None:
    bank = bank_of(MixerShape(mixers=5, groups=2, channels=2))

    assert [mixer for part in bank.parts(rows) for mixer in range(5)[part]] == list(range(5))


@given(shape=SHAPES, seed=st.integers(0, 99))
@LAWFUL
def test_a_row_s_prediction_does_not_depend_on_the_other_rows(shape: MixerShape, seed: int) -> None:
    bank, features = bank_of(shape), inputs(shape, rows=6)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(6)[:4])

    torch.testing.assert_close(bank(features[..., order]), bank(features)[:, order], atol=1e-5, rtol=1e-4)


def test_each_mixer_learns_what_it_would_alone() -> None:
    shape = MixerShape(mixers=3, groups=3, channels=2)
    bank, features, target = bank_of(shape), inputs(shape, rows=50), torch.randn(50)
    singles = [alone(bank, mixer) for mixer in range(3)]

    def train(net: MixerBank, seen: Tensor) -> None:
        optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(5):
            optimiser.zero_grad()
            (-era_correlations(net(seen), target).sum()).backward()
            optimiser.step()

    train(bank, features)
    for mixer, single in enumerate(singles):
        train(single, features[mixer : mixer + 1])

        torch.testing.assert_close(bank(features)[mixer], single(features[mixer : mixer + 1])[0], atol=1e-4, rtol=1e-3)


def test_a_mixer_is_the_paper_s_block_written_out() -> None:
    shape = MixerShape(mixers=1, groups=3, channels=2, width=4, hidden=5, units=2)
    bank, features = bank_of(shape), inputs(shape, rows=6)
    state = {name: values[0] for name, values in bank.state_dict().items()}
    norm = nn.LayerNorm((3, 4), elementwise_affine=False)

    found = []
    for row in features[0].permute(2, 0, 1):  # (g, c)
        tokens = torch.stack([state["embed.weight"][g] @ row[g] + state["embed.bias"][g, :, 0] for g in range(3)])
        across = state["blocks.0.token_in.weight"] @ norm(tokens) + state["blocks.0.token_in.bias"]
        tokens = tokens + state["blocks.0.token_out.weight"] @ across.relu() + state["blocks.0.token_out.bias"]
        inside = norm(tokens) @ state["blocks.0.channel_in.weight"][0].T + state["blocks.0.channel_in.bias"][0, :, 0]
        tokens = tokens + inside.relu() @ state["blocks.0.channel_out.weight"][0].T
        tokens = tokens + state["blocks.0.channel_out.bias"][0, :, 0]
        units = torch.tanh(state["to_units.weight"] @ norm(tokens).flatten() + state["to_units.bias"][:, 0])
        found.append(state["to_prediction.weight"] @ units + state["to_prediction.bias"][:, 0])

    torch.testing.assert_close(bank(features)[0], torch.cat(found), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_what_is_dropped_is_the_given_share_and_the_rest_makes_up_for_it(share: float) -> None:
    bank = bank_of(MixerShape(mixers=20, groups=2, channels=2, hidden=50, blocks=2))

    dropped = bank.dropout(share, torch.Generator().manual_seed(0))

    assert len(dropped) == 2
    for kept in (*dropped[0], *dropped[1]):
        assert set(kept.unique().tolist()) <= {0.0, 1 / (1 - share)}
        assert kept.mean().item() == pytest.approx(1, abs=0.15)


def test_dropped_units_change_what_is_predicted() -> None:
    shape = MixerShape(mixers=2, groups=3, channels=2)
    bank, features = bank_of(shape), inputs(shape)

    assert not torch.allclose(bank(features, bank.dropout(0.5, torch.Generator().manual_seed(0))), bank(features))
    torch.testing.assert_close(bank(features, bank.dropout(0.0, torch.Generator())), bank(features))
