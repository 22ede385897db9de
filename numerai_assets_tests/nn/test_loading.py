"""Loaders hand out the eras' own bytes, in an order that a seed fixes, to any number of processes."""

import pickle
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from numerai_assets.errors import MethodError, StoreError
from numerai_assets.nn.loading import EraBatch, EraTensors, Layout, batches, load, prefetched
from numerai_assets.panel.panel import EraPanel

MakePanel = Callable[..., EraPanel]
TARGET = "target_ender_60"


@pytest.fixture
def panel(tmp_path: Path, make_panel: MakePanel) -> EraPanel:
    """Three eras of 51 rows over mapped files."""
    made = make_panel([3, 4, 7], rows=51, features=70)
    for era, block in zip(made.eras, made.blocks, strict=True):
        np.save(tmp_path / f"{era}.npy", block)
    return replace(made, blocks=tuple(np.load(tmp_path / f"{era}.npy", mmap_mode="r") for era in made.eras))


def rows_of(batch: EraBatch, layout: Layout) -> np.ndarray:
    features = batch.features.numpy()
    return features if layout == "rows" else features.T


def test_whole_eras_lie_over_the_files_and_say_nothing_about_it(panel: EraPanel) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(load(EraTensors(panel, targets=[TARGET])))

    assert [batch.era for batch in found] == [3, 4, 7]
    for batch, block, target in zip(found, panel.blocks, panel.targets_of_block[TARGET], strict=True):
        assert np.shares_memory(batch.features.numpy(), block)
        assert batch.features.dtype == torch.int8
        np.testing.assert_array_equal(batch.features, block)
        np.testing.assert_array_equal(batch.targets[:, 0], target)
        assert batch.rows.tolist() == list(range(51))


@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("batch_rows", [None, 20, 51, 100])
@pytest.mark.parametrize("layout", ["features", "rows"])
def test_each_row_comes_once_with_its_own_values(
    panel: EraPanel, layout: Layout, batch_rows: int | None, seed: int | None
) -> None:
    chosen = [panel.feature_names[i] for i in (66, 3, 12)]
    eras = EraTensors(panel, features=chosen, targets=[TARGET, TARGET], layout=layout)

    found = list(load(eras, seed=seed, batch_rows=batch_rows))

    came = [(batch.era, row) for batch in found for row in batch.rows.tolist()]
    assert sorted(came) == [(era, row) for era in (3, 4, 7) for row in range(51)]
    assert (came == sorted(came)) == (seed is None)
    for batch in found:
        place = panel.eras.index(batch.era)
        np.testing.assert_array_equal(rows_of(batch, layout), panel.blocks[place][[66, 3, 12]].T[batch.rows])
        expected = panel.targets_of_block[TARGET][place][batch.rows]
        np.testing.assert_array_equal(batch.targets, np.stack([expected, expected], axis=1))
        assert batch.features.is_contiguous() or layout == "features"


def test_batches_have_the_size_asked_for_and_the_last_of_an_era_what_is_left(panel: EraPanel) -> None:
    eras = EraTensors(panel)

    assert [len(batch.rows) for batch in batches(eras, batch_rows=20)] == [20, 20, 11] * 3
    assert [len(batch.rows) for batch in batches(eras, batch_rows=20, drop_last=True)] == [20, 20] * 3
    assert list(batches(eras, batch_rows=52, drop_last=True)) == []
    assert {tuple(batch.targets.shape) for batch in batches(eras, batch_rows=51)} == {(51, 0)}


def order_of(found: Iterator[EraBatch]) -> list[tuple[int, list[int]]]:
    return [(batch.era, batch.rows.tolist()) for batch in found]


def test_a_seed_and_an_epoch_fix_the_order(panel: EraPanel) -> None:
    eras = EraTensors(panel)

    first = order_of(load(eras, seed=1, batch_rows=20))

    assert order_of(load(eras, seed=1, batch_rows=20)) == first
    assert order_of(load(eras, seed=1, batch_rows=20, ahead=0)) == first
    assert order_of(load(eras, seed=1, epoch=1, batch_rows=20)) != first
    assert order_of(load(eras, seed=2, batch_rows=20)) != first


def test_the_order_of_an_eras_rows_does_not_depend_on_the_other_eras(panel: EraPanel) -> None:
    together = dict(order_of(load(EraTensors(panel), seed=1, batch_rows=51)))

    alone = order_of(load(EraTensors(panel.with_eras([4])), seed=1, batch_rows=51))

    assert alone == [(4, together[4])]


def test_a_pickled_dataset_maps_the_files_again(panel: EraPanel) -> None:
    again = pickle.loads(pickle.dumps(EraTensors(panel, targets=[TARGET])))

    assert all(isinstance(block, np.memmap) for block in again._blocks)
    np.testing.assert_array_equal(again[1].features, panel.blocks[1])
    np.testing.assert_array_equal(again[1].targets[:, 0], panel.targets_of_block[TARGET][1])


def test_spawned_workers_of_a_torch_loader_hand_out_whole_eras(panel: EraPanel) -> None:
    loader = DataLoader(
        EraTensors(panel, layout="rows"), batch_size=None, num_workers=1, multiprocessing_context="spawn"
    )

    for batch, block in zip(loader, panel.blocks, strict=True):
        np.testing.assert_array_equal(batch.features, block.T)


def test_what_is_not_in_the_panel_is_refused_at_once(panel: EraPanel) -> None:
    with pytest.raises(StoreError, match="feature 'z' is not in it"):
        EraTensors(panel, features=["z"])
    with pytest.raises(StoreError, match="no target 'target_z_20'"):
        EraTensors(panel, targets=["target_z_20"])
    with pytest.raises(MethodError, match="layout 'columns': expected 'features' or 'rows'"):
        EraTensors(panel, layout="columns")  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("wanted", [{"pinned": True}, {"device": "cuda"}])
def test_pinned_memory_and_cuda_are_refused_where_there_is_none(panel: EraPanel, wanted: dict[str, str]) -> None:
    with pytest.raises(MethodError, match="this machine has no CUDA device"):
        load(EraTensors(panel), **wanted)  # type: ignore[arg-type]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("batch_rows", [None, 20])
def test_on_a_gpu_the_same_values_arrive(panel: EraPanel, batch_rows: int | None) -> None:
    eras = EraTensors(panel, targets=[TARGET])

    there = load(eras, seed=1, batch_rows=batch_rows, device="cuda")
    pinned = load(eras, seed=1, batch_rows=batch_rows, pinned=True)

    for here, batch, held in zip(load(eras, seed=1, batch_rows=batch_rows), there, pinned, strict=True):
        assert batch.features.is_cuda
        assert held.features.is_pinned()
        for part, moved, kept in zip(here[1:], batch[1:], held[1:], strict=True):
            assert torch.equal(part, moved.cpu())
            assert torch.equal(part, kept)


def test_an_error_while_making_an_item_is_raised_when_its_turn_comes() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("era 0007 is broken")

    found = prefetched(items(), 3)

    assert next(found) == 1
    with pytest.raises(ValueError, match="era 0007 is broken"):
        next(found)


def test_items_are_made_ahead_and_the_thread_ends_with_the_iterator() -> None:
    third = threading.Event()

    def items() -> Iterator[int]:
        for number in range(1000):
            if number == 2:
                third.set()
            yield number

    found = prefetched(items(), 2)
    assert next(found) == 0
    assert third.wait(10)
    found.close()  # type: ignore[attr-defined]

    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_prefetching_hands_on_all_items_in_order_and_nothing_where_there_is_none() -> None:
    assert list(prefetched(iter(range(50)), 3)) == list(range(50))
    assert list(prefetched([], 3)) == []
