from __future__ import annotations

import math
import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import ConfigError
from serving.runtime.call_counts import MAGIC, RECORD_BYTES, STEP, TAG_BYTES, CallCounts


def tag_of(number: int) -> bytes:
    return (number + 1).to_bytes(TAG_BYTES, "big")


@pytest.fixture(params=["file", "memory"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "counts" if request.param == "file" else None


def test_each_key_has_a_record_of_its_own(path: Path | None) -> None:
    counts = CallCounts(path)
    places = [counts.place(tag_of(number)) for number in range(2 * STEP + 3)]
    assert len(set(places)) == len(places)
    for number, place in enumerate(places):
        assert counts.read(place) == (0.0, 0.0, 0, 0)
        counts.write(place, -float(number), 2.5, number, 7)
    assert [counts.read(place) for place in places] == [(-float(n), 2.5, n, 7) for n in range(len(places))]
    assert [counts.place(tag_of(number)) for number in range(len(places))] == places
    counts.close()


def test_records_outlive_the_process_and_are_seen_by_others(tmp_path: Path) -> None:
    first, second = CallCounts(tmp_path / "counts"), CallCounts(tmp_path / "counts")
    place = first.place(tag_of(1))
    first.write(place, 1.5, 2.5, 3, 4)
    assert second.place(tag_of(1)) == place
    assert second.read(place) == (1.5, 2.5, 3, 4)
    places = [second.place(tag_of(number)) for number in range(STEP + 9)]  # the file has grown since the first opened
    second.write(places[-1], 0.0, 0.0, 0, 5)
    assert first.place(tag_of(STEP + 8)) == places[-1]
    assert first.read(places[-1])[3] == 5
    first.close()
    second.close()
    assert (tmp_path / "counts").stat().st_mode & 0o777 == 0o600
    third = CallCounts(tmp_path / "counts")
    assert third.read(third.place(tag_of(1))) == (1.5, 2.5, 3, 4)
    third.close()


@given(tokens=st.floats(), at=st.floats(), n_used=st.integers(-(2**63), 2**63 - 1))
def test_a_damaged_record_starts_anew(tokens: float, at: float, n_used: int) -> None:
    counts = CallCounts(None)
    place = counts.place(tag_of(0))
    counts.write(place, tokens, at, 0, n_used)
    is_sound = math.isfinite(tokens) and math.isfinite(at) and n_used >= 0
    assert counts.read(counts.place(tag_of(0))) == ((tokens, at, 0, n_used) if is_sound else (0.0, 0.0, 0, 0))


@pytest.mark.parametrize("content", [b"x", b"another file, and a long one", MAGIC[:-1] + b"2"])
def test_another_file_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "counts"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="does not count calls"):
        CallCounts(path)
    assert path.read_bytes() == content


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing/counts.*No such file.*RECSYS_KEY_COUNTS"):
        CallCounts(tmp_path / "missing" / "counts")


def test_a_file_whose_last_record_is_incomplete_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    path.write_bytes(MAGIC + tag_of(0) + bytes(RECORD_BYTES - TAG_BYTES) + bytes(RECORD_BYTES - 1))  # a full disk
    counts = CallCounts(path)
    assert counts.place(tag_of(1)) == len(MAGIC) + RECORD_BYTES
    assert counts.place(tag_of(0)) == len(MAGIC)
    assert path.stat().st_size == len(MAGIC) + (1 + STEP) * RECORD_BYTES
    counts.close()


def _add(path: Path, n: int) -> None:
    counts = CallCounts(path, is_shared=True)
    place = counts.place(tag_of(0))
    for _ in range(n):
        counts.lock()
        tokens, at, day, n_used = counts.read(place)
        counts.write(place, tokens - 1, at, day, n_used + 1)
        counts.unlock()
    counts.close()


def test_no_change_of_several_processes_is_lost(tmp_path: Path) -> None:
    path, n = tmp_path / "counts", 3_000
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_add, args=(path, n)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    counts = CallCounts(path)
    tokens, _, _, n_used = counts.read(counts.place(tag_of(0)))
    counts.close()
    assert (tokens, n_used) == (-2.0 * n, 2 * n)
