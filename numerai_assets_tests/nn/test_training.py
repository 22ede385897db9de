"""The training loop: steps, parts of a loss, validation, early stopping, and what it refuses."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from numerai_assets.errors import FeatureError, MethodError
from numerai_assets.nn.training import Course, Draws, device_of, run_epoch, train

Batch = tuple[Tensor, Tensor]


def data(rows: int = 64, seed: int = 0) -> Batch:
    """A plane in four dimensions, in a little noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4))
    y = x @ [1.0, -2.0, 0.5, 0.0] + 0.01 * rng.normal(size=rows)
    return torch.from_numpy(x).float(), torch.from_numpy(y).float()


def line(seed: int = 0) -> nn.Linear:
    net = nn.Linear(4, 1)
    with torch.no_grad():
        net.weight.normal_(generator=torch.Generator().manual_seed(seed))
        net.bias.zero_()
    return net


def squared(net: nn.Module, batch: Batch) -> Tensor:
    x, y = batch
    return (net(x).squeeze(1) - y).square()


def fitted(net: nn.Module, *, epochs: int = 5, size: int = 16, seed: int = 0, **options: object) -> Course:
    """The net after SGD on the squared error, in batches of a drawn order."""
    x, y = data()
    draws = Draws.of(seed)

    def batches(epoch: int) -> Iterator[Batch]:
        order = torch.from_numpy(draws.order.permutation(len(x)))
        return ((x[some], y[some]) for some in order.split(size))

    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    return train(net, optimiser, batches, lambda batch: [squared(net, batch).mean()], epochs=epochs, **options)  # type: ignore[arg-type]


def weights(net: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(net.parameters()).detach().clone()


def test_a_plane_is_found_and_losses_fall_epoch_by_epoch() -> None:
    net = line()

    course = fitted(net, epochs=20)

    assert weights(net).tolist() == pytest.approx([1, -2, 0.5, 0, 0], abs=0.02)
    assert [len(steps) for steps in course.losses] == [4] * 20
    assert torch.stack(course.losses[-1]).mean() < 0.01 * torch.stack(course.losses[0]).mean()
    assert course.validation == []


def test_the_same_seed_gives_the_same_weights_and_torch_s_own_random_numbers_are_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    found = []
    for seed in (0, 0, 1):
        net = line()
        torch.manual_seed(3)
        fitted(net, seed=seed)
        found.append(weights(net))

    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_a_loss_in_parts_takes_the_step_of_the_whole_and_holds_one_part_at_a_time() -> None:
    batch, whole, parted = data(), line(), line()
    events: list[str] = []
    parted.weight.register_hook(lambda gradient: events.append("backward"))

    def parts(given: Batch) -> Iterator[Tensor]:
        for x, y in zip(given[0].split(16), given[1].split(16), strict=True):
            events.append("forward")
            yield squared(parted, (x, y)).sum() / len(given[1])

    run_epoch(torch.optim.SGD(whole.parameters(), lr=0.1), [batch], lambda given: [squared(whole, given).mean()])
    losses = run_epoch(torch.optim.SGD(parted.parameters(), lr=0.1), [batch], parts)

    torch.testing.assert_close(weights(parted), weights(whole))
    assert float(sum(losses)) == pytest.approx(float(squared(line(), batch).detach().mean()))
    assert events == ["forward", "backward"] * 4


def test_each_net_of_a_bank_takes_the_step_that_it_would_take_alone() -> None:
    batch = data()
    bank, alone = nn.ModuleList([line(1), line(2)]), [line(1), line(2)]

    losses = run_epoch(
        torch.optim.Adam(bank.parameters()),
        [batch],
        lambda given: [torch.stack([squared(net, given).mean() for net in bank])],
    )
    for net in alone:
        run_epoch(torch.optim.Adam(net.parameters()), [batch], lambda given, net=net: [squared(net, given).mean()])

    assert losses[0].shape == (2,)
    for net, other in zip(bank, alone, strict=True):
        assert torch.equal(weights(net), weights(other))


def test_training_stops_after_the_patience_and_restores_the_best_epoch() -> None:
    net, seen = line(), []
    validation = iter([5.0, 3.0, 4.0, 3.0, 1.0])

    def validate() -> float:
        seen.append(weights(net))
        return next(validation)

    course = fitted(net, epochs=9, validate=validate, patience=2)

    assert course.validation == [5.0, 3.0, 4.0, 3.0]
    assert course.best_epoch == 1
    assert torch.equal(weights(net), seen[1])


def test_without_patience_the_last_epoch_is_kept() -> None:
    net, seen = line(), []
    validation = iter([1.0, 2.0, 3.0])

    def validate() -> float:
        seen.append(weights(net))
        return next(validation)

    course = fitted(net, epochs=3, validate=validate)

    assert len(course.losses) == 3
    assert torch.equal(weights(net), seen[2])


def test_steps_are_taken_in_training_mode_and_validation_in_evaluation_mode_without_gradients() -> None:
    net = line()
    modes: list[tuple[bool, bool]] = []

    def validate() -> float:
        modes.append((net.training, torch.is_grad_enabled()))
        return 1.0

    net.register_forward_hook(lambda module, given, found: modes.append((module.training, torch.is_grad_enabled())))
    fitted(net, epochs=1, size=64, validate=validate)

    assert modes == [(True, True), (False, False)]
    assert not net.training


def test_a_schedule_moves_the_learning_rate_after_each_step() -> None:
    net = line()
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 6)
    rates: list[float] = []

    def losses(batch: Batch) -> Iterator[Tensor]:
        rates.append(optimiser.param_groups[0]["lr"])
        yield squared(net, batch).mean()

    train(net, optimiser, lambda epoch: [data()] * 3, losses, epochs=2, schedule=schedule)

    expected = [1e-3 * (1 + np.cos(np.pi * step / 6)) / 2 for step in range(6)]
    assert rates == pytest.approx(expected)


def test_progress_is_reported_after_each_epoch() -> None:
    told: list[tuple[str, int, int]] = []

    fitted(line(), epochs=2, progress=lambda *report: told.append(report), stage="lines trained")

    assert told == [("lines trained", 1, 2), ("lines trained", 2, 2)]


def test_losses_that_are_not_finite_are_refused_with_the_place() -> None:
    def nan_at_second(batch: Batch) -> Iterator[Tensor]:
        yield squared(net, batch).mean()
        yield squared(net, batch).mean() * torch.nan

    net = line()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(MethodError, match=r"the loss is nan in part 2 of epoch 1, .* learning rate is too high"):
        train(net, optimiser, lambda epoch: [data()], nan_at_second, epochs=3)
    with pytest.raises(MethodError, match="the validation loss is inf after epoch 1"):
        fitted(line(), validate=lambda: float("inf"))
    with pytest.raises(ValueError, match="give `validate` too"):
        fitted(line(), patience=3)


def test_an_epoch_without_batches_takes_no_step() -> None:
    net = line()
    before = weights(net)

    course = train(net, torch.optim.SGD(net.parameters(), lr=1.0), lambda epoch: [], lambda batch: [], epochs=2)

    assert course.losses == [[], []]
    assert torch.equal(weights(net), before)


def test_draws_follow_from_the_seed_and_do_not_share_numbers() -> None:
    one, same, other = Draws.of([3, 1]), Draws.of([3, 1]), Draws.of([3, 2])

    assert torch.equal(torch.rand(3, generator=one.weights), torch.rand(3, generator=same.weights))
    assert one.order.permutation(9).tolist() == same.order.permutation(9).tolist()
    assert not torch.equal(torch.rand(3, generator=one.weights), torch.rand(3, generator=other.weights))


def test_a_device_is_cpu_or_a_cuda_that_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert device_of("cpu", used_by="net") == torch.device("cpu")
    with pytest.raises(MethodError, match=r"net: device 'tpu': expected 'cpu' or 'cuda'"):
        device_of("tpu", used_by="net")
    with pytest.raises(FeatureError, match=r"block: device 'cuda': this machine has none"):
        device_of("cuda", used_by="block", error=FeatureError)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_of("cuda", used_by="net") == torch.device("cuda")
