"""Ranges of a file: they lie where they belong, and all are of one file, or none is taken."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from numerai_assets.errors import DownloadError
from numerai_assets.settings import Network
from numerai_assets.tournament.download import Interrupted
from numerai_assets.tournament.ranges import TAIL_BYTES, RangedFile, RangesRefused, Replaced
from numerai_assets_tests.tournament.range_server import Answer, RangeServer

CONTENT = np.random.default_rng(0).bytes(3 * TAIL_BYTES)
SIZE = len(CONTENT)


@pytest.fixture
def server() -> Iterator[RangeServer]:
    running = RangeServer(CONTENT)
    yield running
    running.close()


def ranged(server: RangeServer, folder: Path, attempts: int = 3) -> RangedFile:
    local = folder / "file"
    local.touch()
    return RangedFile(server.address, local, Network(timeout_seconds=5.0, attempts=attempts, retry_seconds=0.0))


def test_ranges_lie_where_they_belong_and_the_rest_is_holes(server: RangeServer, tmp_path: Path) -> None:
    file, came = ranged(server, tmp_path), []

    assert file.open()
    file.lay(100, 5_000, came.append)

    local = file.local.read_bytes()
    assert (file.size, file.etag, len(local)) == (SIZE, '"first"', SIZE)
    assert local[100:5_000] == CONTENT[100:5_000]
    assert local[-TAIL_BYTES:] == CONTENT[-TAIL_BYTES:]
    assert not any(local[5_000:-TAIL_BYTES])
    assert sum(came) == 4_900
    assert file.fetched == TAIL_BYTES + 4_900


def test_a_file_smaller_than_its_tail_is_whole_at_once(server: RangeServer, tmp_path: Path) -> None:
    server.content = b"small"
    file = ranged(server, tmp_path)

    assert file.open()
    assert file.local.read_bytes() == b"small"


@pytest.mark.parametrize(("known", "is_other"), [('"first"', False), ('"second"', True), (None, True)])
def test_the_file_that_is_known_is_not_opened_again(
    server: RangeServer, tmp_path: Path, known: str | None, is_other: bool
) -> None:
    assert ranged(server, tmp_path).open(known) == is_other


def test_a_range_that_broke_off_goes_on_where_it_broke_with_a_fresh_address(
    server: RangeServer, tmp_path: Path
) -> None:
    server.mishaps[1] = lambda answer: replace(answer, sent=300)
    file = ranged(server, tmp_path)
    file.open()

    file.lay(100, 1_000)

    assert server.ranges[1:] == ["bytes=100-999", "bytes=400-999"]
    assert file.local.read_bytes()[100:1_000] == CONTENT[100:1_000]
    assert server.addresses == 2


def test_a_file_replaced_between_two_ranges_is_named(server: RangeServer, tmp_path: Path) -> None:
    file = ranged(server, tmp_path)
    file.open()
    server.publish(CONTENT[::-1], '"second"')

    with pytest.raises(Replaced, match="file: was replaced on the server"):
        file.lay(0, 10)


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_ranges_without_a_strong_etag_are_refused(server: RangeServer, tmp_path: Path, etag: str | None) -> None:
    server.etag = etag

    with pytest.raises(RangesRefused, match="no strong ETag"):
        ranged(server, tmp_path).open()


def test_a_server_that_gives_the_whole_file_gives_no_ranges(server: RangeServer, tmp_path: Path) -> None:
    server.always = lambda answer: Answer(200, CONTENT, {"ETag": '"first"'})

    with pytest.raises(RangesRefused, match="with the whole file"):
        ranged(server, tmp_path).open()


def test_another_range_than_asked_for_is_not_laid(server: RangeServer, tmp_path: Path) -> None:
    file = ranged(server, tmp_path, attempts=2)
    file.open()
    server.always = lambda answer: replace(answer, headers=answer.headers | {"Content-Range": f"bytes 1-10/{SIZE}"})

    with pytest.raises(Interrupted, match="another range than asked for"):
        file.lay(0, 10)

    assert file.local.read_bytes()[:10] == bytes(10)
    assert len(server.asked) == 3


@pytest.mark.parametrize(("start", "stop"), [(-1, 4), (5, 4), (0, SIZE + 1)])
def test_bytes_that_the_file_does_not_have_are_not_asked_for(
    server: RangeServer, tmp_path: Path, start: int, stop: int
) -> None:
    file = ranged(server, tmp_path)
    file.open()

    with pytest.raises(DownloadError, match=f"it has {SIZE:,}"):
        file.lay(start, stop)
    assert len(server.asked) == 1
