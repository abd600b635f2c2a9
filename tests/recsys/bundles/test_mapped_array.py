from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from recsys.bundles.mapped_array import map_array

ARRAYS = [
    np.arange(12, dtype=np.int32).reshape(3, 4),
    np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    np.arange(5, dtype=np.int8)[::-1],
    np.array([True, False]),
    np.array(["a", "冷茶"]),
    np.array(3.5, dtype=np.float32),
    np.ones((2, 0), np.float32),
]


def saved(folder: Path, array: npt.NDArray[np.generic]) -> Path:
    path = folder / "array.npy"
    np.save(path, array)
    return path


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}-{array.shape}")
def test_a_mapped_array_is_the_saved_one_and_cannot_be_written(tmp_path: Path, array: npt.NDArray[np.generic]) -> None:
    mapped = map_array(saved(tmp_path, array))
    assert mapped.dtype == array.dtype
    np.testing.assert_array_equal(mapped, array)
    assert mapped.flags.c_contiguous or mapped.flags.f_contiguous
    with pytest.raises(ValueError, match="read-only"):
        mapped[...] = mapped
    for each in (mapped, mapped.view(), mapped.T):
        with pytest.raises(ValueError, match="WRITEABLE"):
            each.flags.writeable = True


def is_mapped(path: Path) -> bool:
    return str(path) in Path("/proc/self/maps").read_text(encoding="utf-8")


def test_it_has_no_open_file_and_its_memory_is_released_with_the_last_part_of_it(tmp_path: Path) -> None:
    path = saved(tmp_path, np.arange(100_000))
    before = len(os.listdir("/proc/self/fd"))
    mapped = map_array(path)
    part = mapped[-3:]
    assert len(os.listdir("/proc/self/fd")) == before
    del mapped
    assert is_mapped(path)
    assert part.tolist() == [99_997, 99_998, 99_999]
    del part
    assert not is_mapped(path)


def resident_kb(path: Path) -> int:
    lines = Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.endswith(str(path)))
    return next(int(line.split()[1]) for line in lines[start:] if line.startswith("Rss:"))


def test_what_a_check_has_read_does_not_stay_in_memory(tmp_path: Path) -> None:
    path, seen = saved(tmp_path, np.arange(1_000_000)), list[int]()

    def check(array: npt.NDArray[np.int64]) -> None:
        seen.append(int(array.sum()))
        assert resident_kb(path) > 7000

    mapped = map_array(path, check)
    assert seen == [sum(range(1_000_000))]
    assert resident_kb(path) < 100
    assert mapped[-1] == 999_999


def test_objects_short_files_and_other_versions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Python objects"):
        map_array(saved(tmp_path, np.array([{}], dtype=object)))
    path = saved(tmp_path, np.arange(1000))
    content = path.read_bytes()
    path.write_bytes(content[:-8])
    with pytest.raises(ValueError, match="smaller than requested"):
        map_array(path)
    path.write_bytes(content[:6] + b"\x09" + content[7:])
    with pytest.raises(ValueError, match="unknown version"):
        map_array(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="magic"):
        map_array(path)


def test_a_file_that_is_missing_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        map_array(tmp_path / "none.npy")
