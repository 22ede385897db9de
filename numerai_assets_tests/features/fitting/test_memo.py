"""What is kept by content: made once, and the oldest asked for makes room."""

from dataclasses import replace

import numpy as np

from numerai_assets.features.fitting.memo import Kept, digest_of
from numerai_assets_tests.features.planted import interactions


def test_what_was_asked_for_is_made_once_and_what_was_not_for_longest_makes_room() -> None:
    made: list[str] = []
    kept: Kept[str] = Kept(2)

    def ask(key: str) -> str:
        return kept.of(key, lambda: made.append(key) or key * 2)  # type: ignore[func-returns-value]

    assert [ask(key) for key in ("a", "b", "a", "c", "a", "b")] == ["aa", "bb", "aa", "cc", "aa", "bb"]
    assert made == ["a", "b", "c", "b"]


def test_of_an_era_what_follows_from_the_same_features_and_target_is_made_once() -> None:
    panel, made = interactions([1]), []
    kept: Kept[int] = Kept(9)
    target = panel.target("target_ender_20")

    def ask(digests: tuple[str, ...], target: np.ndarray) -> int:
        return kept.of_era(replace(panel, digests=digests), lambda: made.append(1) or len(made), digest_of(target))

    assert [ask(("a",), target), ask(("a",), target), ask(("b",), target), ask(("a",), target + 1)] == [1, 1, 2, 3]


def test_of_a_panel_without_digests_nothing_is_kept() -> None:
    panel, made = interactions([1]), []
    kept: Kept[int] = Kept(9)

    assert [kept.of_era(panel, lambda: made.append(1) or len(made)) for _ in range(2)] == [1, 2]
