"""A week's increment: only what changed is fetched, it is what the whole file has, or the whole file is fetched."""

import datetime as dt
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tenacity
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from numerai_assets.errors import ReleaseError
from numerai_assets.store.era_store import EraStore
from numerai_assets.tournament.client import Tournament
from numerai_assets.tournament.increment import Update, not_on_disk, update
from numerai_assets.tournament.ranges import TAIL_BYTES
from numerai_assets.tournament.release import FEATURES, VALIDATION, Manifest, Release
from numerai_assets.tournament.released_eras import read_eras
from numerai_assets_tests.tournament.range_server import Answer, FileTournament, Mishap, RangeServer

NAMES = [f"feature_{number}" for number in range(12)]
TARGETS = ["target", "target_ender_20", "target_ender_60"]
NOW = dt.datetime(2026, 10, 3, 12, tzinfo=dt.UTC)
FIRST = 575


def rows_of(era: int, newest: int, rows: int) -> pd.DataFrame:
    """Rows of one era as they stand in the release whose newest era is `newest`."""
    rng = np.random.default_rng(era)
    frame = pd.DataFrame({"id": [f"n{era:04d}{row:011x}" for row in range(rows)], "era": f"{era:04d}"})
    frame["data_type"] = "test" if era > newest - 13 else "validation"
    for name in NAMES:
        frame[name] = rng.integers(0, 5, rows, dtype=np.int8)
    for name, lag in (("target_ender_20", 5), ("target_ender_60", 13)):
        known = (rng.integers(0, 5, rows) / 4).astype(np.float32)
        frame[name] = known if era <= newest - lag else np.float32(np.nan)
    frame["target"] = frame["target_ender_60"]
    return frame


def parquet(
    newest: int,
    *,
    rows: int = 400,
    rows_a_group: int = 1500,
    change: Callable[[pd.DataFrame], pd.DataFrame] = lambda rows: rows,
) -> bytes:
    """validation.parquet of eras FIRST to `newest`, each of `rows` rows and a few, after a change of its rows."""
    frame = pd.concat([rows_of(era, newest, rows + era % 5) for era in range(FIRST, newest + 1)], ignore_index=True)
    file = io.BytesIO()
    table = pa.Table.from_pandas(change(frame).set_index("id"))
    pq.write_table(table, file, row_group_size=rows_a_group, compression="zstd", write_statistics=False)
    return file.getvalue()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries take no time."""
    monkeypatch.setattr(tenacity.nap.time, "sleep", lambda seconds: None)


class Desk:
    """A server with validation.parquet, a release folder and an era store."""

    def __init__(self, folder: Path, server: RangeServer) -> None:
        self.server, self.release, self.store = server, Release(folder / "release"), EraStore(folder / "store")

    @classmethod
    def after(cls, content: bytes, folder: Path, server: RangeServer) -> "Desk":
        """A desk that has fetched and stored the whole of `content`."""
        desk = cls(folder, server)
        desk.release.folder.mkdir(parents=True)
        sets = {"feature_sets": {"all": NAMES}, "targets": TARGETS}
        desk.release.path(FEATURES).write_text(json.dumps(sets))
        server.publish(content, '"615"')
        desk.update()
        desk.take_in()
        server.asked.clear()
        return desk

    def update(self, round_number: int = 1, attempts: int = 3, **options: Callable[[int, int], None]) -> Update:
        tournament = cast("Tournament", FileTournament(self.server, attempts))
        now = NOW + dt.timedelta(weeks=round_number)
        return update(self.release, self.store, tournament, round_number=round_number, now=now, **options)

    def take_in(self) -> None:
        """Stores what is on disk of the eras that are to be read."""
        manifest = self.release.manifest(VALIDATION)
        assert manifest is not None
        due = {f"{e:04d}" for e in self.store.to_read(map(int, manifest.released_eras), manifest.newest_era)}
        path = self.release.path(VALIDATION)
        for item in read_eras(path, features=NAMES, targets=TARGETS, wanted=due.__contains__):
            item.store_in(self.store, NAMES, as_of=manifest.newest_era)

    def after_losing(self, key: str) -> Manifest:
        """The week's news is stored, then the store loses an era; the manifest of what is on disk."""
        self.server.publish(WEEK_616, '"616"')
        self.update(2)
        self.take_in()
        self.store.forget(key)
        manifest = self.release.manifest(VALIDATION)
        assert manifest is not None
        return manifest

    def stored(self) -> dict[str, bytes]:
        """Features and targets of the store, by file."""
        files = [*self.store.folder.glob("released/*"), *self.store.folder.glob("targets/*")]
        return {str(path.relative_to(self.store.folder)): path.read_bytes() for path in sorted(files)}

    def rows_on_disk(self) -> pd.DataFrame:
        return pd.read_parquet(self.release.path(VALIDATION)).reset_index()


WEEK_615, WEEK_616, WEEK_617 = (parquet(newest) for newest in (615, 616, 617))
NEWS = ("0603", "0611", "0616")


@pytest.fixture
def server() -> Iterator[RangeServer]:
    running = RangeServer()
    yield running
    running.close()


@pytest.fixture(scope="module")
def week_615(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a desk after the week of era 615, to be copied."""
    folder, server = tmp_path_factory.mktemp("week_615"), RangeServer()
    Desk.after(WEEK_615, folder, server)
    server.close()
    return folder


@pytest.fixture
def desk(week_615: Path, tmp_path: Path, server: RangeServer) -> Desk:
    """After the week of era 615, whose file the server still has."""
    shutil.copytree(week_615, tmp_path / "desk")
    server.publish(WEEK_615, '"615"')
    return Desk(tmp_path / "desk", server)


def assert_part(desk: Desk, updated: Update, eras: tuple[str, ...], content: bytes, etag: str | None) -> None:
    """A part with exactly the rows that `content` has of the eras is there, is described so, and nothing else was left."""
    manifest = desk.release.manifest(VALIDATION)
    assert updated.why_whole is None
    assert updated.is_new
    assert manifest == updated.manifest
    assert manifest.part is not None
    assert (manifest.eras, manifest.etag) == (eras, etag)
    whole = pq.ParquetFile(io.BytesIO(content))
    assert (manifest.part.size, manifest.part.rows) == (len(content), whole.metadata.num_rows)
    assert manifest.released_eras == tuple(f"{era:04d}" for era in range(FIRST, int(eras[-1]) + 1))
    assert manifest.newest_era == int(eras[-1])
    rows = pd.read_parquet(io.BytesIO(content)).reset_index()
    expected = rows[rows["era"].isin(eras)].reset_index(drop=True)
    pd.testing.assert_frame_equal(desk.rows_on_disk(), expected)
    assert pq.read_schema(desk.release.path(VALIDATION)).equals(whole.schema_arrow, check_metadata=True)
    left = {path.name for path in desk.release.folder.iterdir()}
    assert left == {FEATURES, VALIDATION, f"{VALIDATION}.manifest.json"}


def assert_whole(desk: Desk, updated: Update, content: bytes, why: str) -> None:
    """The whole file is there, and it is said why."""
    assert updated.manifest.part is None
    assert desk.release.path(VALIDATION).read_bytes() == content
    assert updated.why_whole is not None
    assert why in updated.why_whole


# What is fetched.


def test_a_new_week_fetches_the_new_era_and_those_whose_targets_resolved(desk: Desk) -> None:
    desk.server.publish(WEEK_616, '"616"')

    updated = desk.update(2)

    assert_part(desk, updated, NEWS, WEEK_616, '"616"')
    assert updated.manifest.part is not None
    spans = [r.removeprefix("bytes=").split("-") for r in desk.server.ranges[1:] if r is not None]
    asked = sum(int(last) + 1 - int(start) for start, last in spans)
    assert asked < len(WEEK_616) // 2
    assert updated.manifest.part.fetched == TAIL_BYTES + asked
    assert all(headers["if-match"] == '"616"' for headers in desk.server.asked[1:])


def test_weeks_of_parts_leave_the_store_that_whole_files_leave(desk: Desk, tmp_path: Path) -> None:
    for number, content in ((616, WEEK_616), (617, WEEK_617)):
        desk.server.publish(content, f'"{number}"')
        assert desk.update(number).why_whole is None
        desk.take_in()

    other = Desk.after(WEEK_617, tmp_path / "other", desk.server)

    assert desk.stored() == other.stored()


def test_weeks_that_were_missed_come_together(desk: Desk) -> None:
    desk.server.publish(WEEK_617, '"617"')

    assert_part(desk, desk.update(3), ("0603", "0604", "0611", "0612", "0616", "0617"), WEEK_617, '"617"')


def test_an_unchanged_file_is_not_fetched_again_be_it_on_disk_whole_or_in_part(desk: Desk) -> None:
    unchanged = desk.update(2)
    assert (unchanged.is_new, unchanged.manifest.part, unchanged.manifest.round_number) == (False, None, 2)
    desk.server.publish(WEEK_616, '"616"')
    part = desk.update(3)
    desk.take_in()
    desk.server.asked.clear()

    again = desk.update(4)

    assert not again.is_new
    assert again.manifest == desk.release.manifest(VALIDATION) == replace(part.manifest, round_number=4)
    assert desk.server.asked[0]["if-none-match"] == '"616"'
    assert len(desk.server.asked) == 1


def test_a_file_published_anew_without_a_new_era_leaves_its_newest(desk: Desk) -> None:
    desk.server.publish(parquet(615, rows_a_group=1000), '"615 once more"')

    updated = desk.update(2)

    assert updated.manifest.eras == ("0615",)
    assert updated.manifest.newest_era == 615


@settings(deadline=None, max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(40, 120), rows_a_group=st.integers(60, 700))
def test_whatever_the_row_groups_are_a_part_has_exactly_the_rows_of_its_eras(
    tmp_path_factory: pytest.TempPathFactory, server: RangeServer, rows: int, rows_a_group: int
) -> None:
    desk = Desk.after(parquet(615, rows=rows, rows_a_group=rows_a_group), tmp_path_factory.mktemp("desk"), server)
    content = parquet(616, rows=rows, rows_a_group=rows_a_group)
    server.publish(content, '"616"')

    assert_part(desk, desk.update(2), NEWS, content, '"616"')


# When the whole is fetched, and that it is said.


def whole_despite_range(answer: Answer) -> Answer:
    return replace(answer, status=200, body=WEEK_616) if answer.status == 206 else answer


def with_etag(etag: str | None) -> Mishap:
    def change(answer: Answer) -> Answer:
        kept = {name: value for name, value in answer.headers.items() if name != "ETag"}
        return replace(answer, headers=kept | ({} if etag is None else {"ETag": etag}))

    return change


@pytest.mark.parametrize(
    ("always", "why"),
    [
        (whole_despite_range, "answers a Range request with the whole file"),
        (with_etag(None), "sends no strong ETag"),
        (with_etag('W/"616"'), "sends no strong ETag"),
    ],
)
def test_a_server_without_ranges_or_a_strong_etag_gives_the_whole(desk: Desk, always: Mishap, why: str) -> None:
    desk.server.publish(WEEK_616, '"616"')
    desk.server.always = always

    assert_whole(desk, desk.update(2), WEEK_616, why)


def test_a_proxy_that_refuses_ranges_gives_the_whole(desk: Desk) -> None:
    desk.server.publish(WEEK_616, '"616"')
    desk.server.always = lambda answer: Answer(403, b"", {}) if answer.status == 206 else answer

    assert_whole(desk, desk.update(2), WEEK_616, "answered 403")


def test_a_file_that_is_not_as_its_manifest_says_is_fetched_whole(desk: Desk) -> None:
    desk.release.path(VALIDATION).unlink()

    assert_whole(desk, desk.update(), WEEK_615, "none is on disk")
    assert desk.server.ranges == [None]


def test_an_era_that_the_store_lacks_needs_the_whole_even_of_an_unchanged_file(desk: Desk) -> None:
    assert not_on_disk(desk.after_losing("0590"), desk.store) == [590]

    assert_whole(desk, desk.update(2), WEEK_616, "the era store lacks era 0590")
    desk.take_in()
    assert desk.store.eras() == list(range(FIRST, 617))


def test_an_era_on_disk_that_the_store_lost_is_not_fetched_again(desk: Desk) -> None:
    assert not_on_disk(desk.after_losing("0616"), desk.store) == []
    assert not desk.update(2).is_new


def test_when_most_is_needed_the_whole_is_fetched(desk: Desk) -> None:
    content = parquet(616, rows_a_group=15_000)
    desk.server.publish(content, '"616"')

    assert_whole(desk, desk.update(2), content, "bytes are needed")


@pytest.mark.parametrize(
    ("column", "found"), [("feature_3", "features"), ("id", "ids"), ("target_ender_20", "target_ender_20")]
)
def test_a_release_that_differs_from_the_store_in_a_held_era_is_fetched_whole(
    desk: Desk, column: str, found: str
) -> None:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        row = frame.index[frame["era"] == "0602"][7]
        frame.loc[row, column] = {"id": "n", "feature_3": 4 - frame.loc[row, "feature_3"]}.get(column, 0.3)
        return frame

    content = parquet(616, change=change)
    desk.server.publish(content, '"616"')

    updated = desk.update(2)

    assert_whole(desk, updated, content, f"era 0602: {found} differ from those of the era store")
    assert updated.is_disputed


def test_a_damaged_file_of_the_store_is_a_reason_too(desk: Desk) -> None:
    desk.server.publish(WEEK_616, '"616"')
    (desk.store.folder / "released" / "0603.npy").write_bytes(b"cut")

    assert_whole(desk, desk.update(2), WEEK_616, "released features file")


def test_a_gap_among_the_newest_eras_is_refused_with_the_whole_file(desk: Desk) -> None:
    content = parquet(616, change=lambda frame: frame[frame["era"] != "0610"])
    desk.server.publish(content, '"616"')

    with pytest.raises(ReleaseError, match="eras are not contiguous after 0609"):
        desk.update(2)
    assert desk.release.path(VALIDATION).read_bytes() == WEEK_615


# What goes wrong on the way.


def replaced_by(desk: Desk, content: bytes, etag: str) -> Mishap:
    """The file is replaced as this request comes, which no longer meets its ETag."""

    def change(answer: Answer) -> Answer:
        desk.server.content, desk.server.etag = content, etag
        return Answer(412, b"", {"ETag": etag})

    return change


@pytest.mark.parametrize("at", [1, 2, 3, 5])
def test_a_file_replaced_between_two_ranges_starts_over(desk: Desk, at: int) -> None:
    desk.server.publish(WEEK_616, '"616"')
    again = parquet(616, rows_a_group=900)
    desk.server.mishaps[at] = replaced_by(desk, again, '"616 again"')

    assert_part(desk, desk.update(2), NEWS, again, '"616 again"')


@pytest.mark.parametrize("at", [1, 2, 3, 5])
def test_a_server_that_ignores_if_match_is_found_out_by_the_etag(desk: Desk, at: int) -> None:
    desk.server.publish(WEEK_616, '"616"')
    desk.server.mishaps[at] = with_etag('"another"')

    assert_part(desk, desk.update(2), NEWS, WEEK_616, '"616"')


def test_a_file_replaced_at_every_attempt_is_fetched_whole(desk: Desk) -> None:
    desk.server.publish(WEEK_616, '"616"')
    desk.server.always = lambda answer: Answer(412, b"", {}) if "if-match" in desk.server.asked[-1] else answer

    assert_whole(desk, desk.update(2), WEEK_616, "was replaced on the server between two ranges")


@pytest.mark.parametrize("at", range(6))
def test_a_range_that_breaks_off_goes_on_where_it_broke(desk: Desk, at: int) -> None:
    desk.server.publish(WEEK_616, '"616"')
    desk.server.mishaps[at] = lambda answer: replace(answer, sent=len(answer.body) // 2)

    assert_part(desk, desk.update(2), NEWS, WEEK_616, '"616"')
    if at:
        before, after = desk.server.ranges[at], desk.server.ranges[at + 1]
        assert before is not None and after is not None
        assert before.split("-")[1] == after.split("-")[1]


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("status", [403, 429, 503])
def test_a_refused_range_is_asked_for_again_at_a_fresh_address(desk: Desk, at: int, status: int) -> None:
    desk.server.publish(WEEK_616, '"616"')
    desk.server.mishaps[at] = lambda answer: Answer(status, b"<Error/>", {"Retry-After": "0"})
    desk.server.addresses = 0

    assert_part(desk, desk.update(2), NEWS, WEEK_616, '"616"')
    assert desk.server.addresses == 2


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("place", ["bytes 0-9/100", "nonsense"])
def test_another_range_than_asked_for_is_not_laid_down(desk: Desk, at: int, place: str) -> None:
    desk.server.publish(WEEK_616, '"616"')
    desk.server.mishaps[at] = lambda answer: replace(answer, headers=answer.headers | {"Content-Range": place})

    assert_part(desk, desk.update(2), NEWS, WEEK_616, '"616"')


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_never_reach_the_disk(desk: Desk, seed: int) -> None:
    """A byte of an answer differs and its length is right: pages do not decode, or disagree with eras of the store."""
    rng = np.random.default_rng(seed)
    desk.server.publish(WEEK_616, f'"{hashlib.sha256(WEEK_616).hexdigest()}"')

    def flip(answer: Answer) -> Answer:
        body = bytearray(answer.body)
        body[rng.integers(len(body))] ^= 0xFF
        return replace(answer, body=bytes(body))

    desk.server.mishaps[int(rng.integers(9))] = flip

    desk.update(2)

    rows = pd.read_parquet(io.BytesIO(WEEK_616)).reset_index()
    found = desk.rows_on_disk()
    expected = rows[rows["era"].isin(found["era"].unique())].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected)


def test_bytes_that_the_checksum_of_a_page_denies_are_not_taken(desk: Desk) -> None:
    file = io.BytesIO()
    table = pq.read_table(io.BytesIO(WEEK_616))
    pq.write_table(table, file, row_group_size=1500, compression="none", use_dictionary=False, write_page_checksum=True)
    content = bytearray(file.getvalue())
    newest = pq.ParquetFile(io.BytesIO(bytes(content))).metadata
    chunk = newest.row_group(newest.num_row_groups - 1).column(table.column_names.index("feature_2"))
    # A feature of the new era, still in 0..4: nothing in the store could tell.
    content[chunk.data_page_offset + chunk.total_compressed_size - 4] ^= 1
    desk.server.publish(bytes(content), '"616"')

    assert_whole(desk, desk.update(2), bytes(content), "CRC checksum")


class Killed(BaseException):
    """The process ends here."""


def test_a_run_killed_while_row_groups_come_leaves_the_old_file_and_the_next_goes_on(desk: Desk) -> None:
    desk.server.publish(WEEK_616, '"616"')

    def kill(done: int, total: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        desk.update(2, progress=kill)
    assert desk.release.path(VALIDATION).read_bytes() == WEEK_615

    assert_part(desk, desk.update(2), NEWS, WEEK_616, '"616"')


def test_what_an_interrupted_download_of_the_whole_left_is_dropped(desk: Desk) -> None:
    desk.server.publish(WEEK_616, '"616"')
    for suffix in (".part", ".part.json"):
        desk.release.path(VALIDATION + suffix).write_bytes(b"{}")

    assert_part(desk, desk.update(2), NEWS, WEEK_616, '"616"')


def test_a_server_that_is_not_there_is_an_error_and_the_old_file_stays(desk: Desk) -> None:
    desk.server.always = lambda answer: Answer(503, b"", {})

    with pytest.raises(Exception, match=r"validation\.parquet: the server answered 503"):
        desk.update(2)
    assert desk.release.path(VALIDATION).read_bytes() == WEEK_615
