"""What is kept by content: made once, and the oldest asked for makes room."""

from numerai_assets.features.fitting.memo import Kept


def test_what_was_asked_for_is_made_once_and_what_was_not_for_longest_makes_room() -> None:
    made: list[str] = []
    kept: Kept[str] = Kept(2)

    def ask(key: str) -> str:
        return kept.of(key, lambda: made.append(key) or key * 2)  # type: ignore[func-returns-value]

    assert [ask(key) for key in ("a", "b", "a", "c", "a", "b")] == ["aa", "bb", "aa", "cc", "aa", "bb"]
    assert made == ["a", "b", "c", "b"]
