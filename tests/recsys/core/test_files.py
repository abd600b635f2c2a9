from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from recsys.core.files import atomic_write, file_digest, file_signature, remove, replacing, sibling


def test_atomic_write_makes_and_replaces_a_file(tmp_path: Path) -> None:
    path = tmp_path / "CURRENT"
    atomic_write(path, "one\n")
    atomic_write(path, "zwei ü\n".encode())
    assert path.read_text(encoding="utf-8") == "zwei ü\n"
    assert os.listdir(tmp_path) == ["CURRENT"]


def test_atomic_write_applies_the_mode_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text("old")
    path.chmod(0o644)
    atomic_write(path, b"secret", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "lists"
    atomic_write(path, "old")
    with pytest.raises(RuntimeError, match="half way"), replacing(path) as partial:  # noqa: PT012
        partial.write_text("half")
        raise RuntimeError("half way")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["lists"]


def test_a_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic_write(tmp_path / "nowhere" / "file", "text")


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_is_replaced_as_a_whole(tmp_path: Path, exists: bool) -> None:
    path = tmp_path / "data"
    if exists:
        path.mkdir()
        (path / "old.json").write_text("{}")
    with replacing(path) as partial:
        (partial / "inside").mkdir(parents=True)
        (partial / "inside" / "new.json").write_text("[]")
    assert [str(found.relative_to(path)) for found in path.rglob("*.json")] == ["inside/new.json"]
    assert os.listdir(tmp_path) == ["data"]


def test_the_old_folder_returns_if_the_swap_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data"
    path.mkdir()
    (path / "old.json").write_text("{}")
    rename = Path.rename

    def fail_for_new(self: Path, target: Path) -> Path:
        if self.name.endswith(".new"):
            raise OSError("no space left")
        return rename(self, target)

    with pytest.raises(OSError, match="no space"), replacing(path) as partial:  # noqa: PT012
        partial.mkdir()
        monkeypatch.setattr(Path, "rename", fail_for_new)
    assert os.listdir(path) == ["old.json"]
    assert os.listdir(tmp_path) == ["data"]


def test_what_a_killed_process_left_does_not_mix_with_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "data"
    left = sibling(path, "new")
    left.mkdir()
    (left / "left.json").write_text("{}")
    with replacing(path) as partial:
        partial.mkdir()
    assert os.listdir(path) == []


def test_content_and_names_are_synced_before_and_after_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def traced_fsync(descriptor: int) -> None:
        calls.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    def traced_replace(self: Path, target: Path) -> Path:
        calls.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(Path, "replace", traced_replace)
    path = tmp_path / "CURRENT"
    atomic_write(path, "v1")
    assert calls == [sibling(path, "new").name, "rename", tmp_path.name]


def test_file_digest_is_the_sha256(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"tea" * 100_000)
    assert file_digest(path) == hashlib.sha256(b"tea" * 100_000).hexdigest()


def test_a_signature_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert file_signature(path) is None
    atomic_write(path, "one")
    first = file_signature(path)
    assert first is not None
    assert file_signature(path) == first
    atomic_write(path, "two")
    assert file_signature(path) != first


def test_remove_follows_no_link(tmp_path: Path) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    remove(link)
    assert folder.is_dir()
    remove(folder)
    remove(folder)
    assert os.listdir(tmp_path) == []
