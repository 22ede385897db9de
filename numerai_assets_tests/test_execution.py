"""Where and how fast something is trained."""

import os

import pytest
import torch

from numerai_assets.execution import Execution, threads_limited, usable_cores, without_execution


def test_every_core_of_the_process_is_used_unless_fewer_threads_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))
    assert Execution().cores == usable_cores()
    assert Execution(threads=7).cores == 7


def test_a_process_pinned_to_one_core_uses_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(("value", "cores"), [("1", 1), ("0", None), ("many", None)])
def test_the_openmp_limit_is_respected(monkeypatch: pytest.MonkeyPatch, value: str, cores: int | None) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    every = usable_cores()
    monkeypatch.setenv("OMP_NUM_THREADS", value)

    assert usable_cores() == (cores or every)


def test_fields_that_a_method_cannot_use_are_named() -> None:
    asked = Execution(threads=3, device="cuda", processes=2)

    assert asked.beyond({"threads"}) == ["device", "processes"]
    assert asked.beyond({"threads", "device", "processes"}) == []


def test_threads_that_were_once_a_hyperparameter_are_left_out() -> None:
    assert without_execution({"num_threads": 2, "max_depth": 5}) == {"max_depth": 5}


def test_torch_has_the_threads_that_are_asked_for_and_gets_its_own_back() -> None:
    before = torch.get_num_threads()

    with threads_limited(before + 2):
        assert torch.get_num_threads() == before + 2

    assert torch.get_num_threads() == before
