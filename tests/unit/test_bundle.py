"""A run's folder: whole or absent, checked when it is read, never on top of another."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_autoglm.measure.bundle import (
    MANIFEST,
    BundleError,
    read_bundle,
    write_bundle,
    write_next,
)

FILES = {"profile.json": b"{}\n", "log.txt": b"said\n"}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "deep" / "run", FILES)
    assert read_bundle(folder) == FILES
    assert [path.name for path in tmp_path.joinpath("deep").iterdir()] == ["run"]


def test_the_manifest_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    write, text = Path.write_bytes, Path.write_text

    def note_bytes(path: Path, content: bytes) -> int:
        order.append(path.name)
        return write(path, content)

    def note_text(path: Path, content: str, **options: str) -> int:
        order.append(path.name)
        return text(path, content, **options)

    monkeypatch.setattr(Path, "write_bytes", note_bytes)
    monkeypatch.setattr(Path, "write_text", note_text)
    write_bundle(tmp_path / "run", FILES)
    assert order == [*FILES, MANIFEST]


def test_runs_are_numbered_and_never_replaced(tmp_path: Path) -> None:
    names = [write_next(tmp_path, FILES).name for _ in range(3)]
    assert names == ["run-001", "run-002", "run-003"]
    with pytest.raises(BundleError, match="--bundle"):
        write_bundle(tmp_path / "run-002", {})
    assert read_bundle(tmp_path / "run-002") == FILES


def test_runs_that_end_at_once_get_a_number_each(tmp_path: Path) -> None:
    together = threading.Barrier(8)
    found: list[Path] = []

    def run(number: int) -> None:
        together.wait()
        found.append(write_next(tmp_path, {"n": bytes([number])}))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {read_bundle(folder)["n"][0] for folder in found} == set(range(8))
    assert sorted(tmp_path.iterdir()) == sorted(found)


def test_a_write_that_fails_leaves_nothing_and_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="run") as caught:
        write_bundle(tmp_path / "run", FILES)
    assert caught.value.filename == str(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@given(place=st.integers(0, len(FILES["profile.json"]) - 1), value=st.integers(0, 255))
def test_any_changed_byte_is_found(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    folder = write_bundle(tmp_path_factory.mktemp("b") / "run", FILES)
    content = bytearray(FILES["profile.json"])
    changed = content[place] != value
    content[place] = value
    (folder / "profile.json").write_bytes(content)
    if changed:
        with pytest.raises(BundleError, match="changed since the run"):
            read_bundle(folder)
    else:
        assert read_bundle(folder) == FILES


def test_a_missing_file_or_manifest_is_named(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "run", FILES)
    (folder / "log.txt").unlink()
    with pytest.raises(BundleError, match=r"log\.txt"):
        read_bundle(folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(BundleError, match="no bundle"):
        read_bundle(folder)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"schema": 1, "files": 3}', '{"schema": 9, "files": {}}',
     '{"schema": 1, "files": {"../../etc/passwd": ""}}'],
)  # fmt: skip
def test_a_damaged_manifest_is_refused(text: str, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "run", FILES)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    with pytest.raises(BundleError, match=MANIFEST):
        read_bundle(folder)


def test_others_may_read_a_bundle_as_the_umask_says(tmp_path: Path) -> None:
    if os.name != "posix":
        pytest.skip("permissions of POSIX")
    before = os.umask(0o027)
    try:
        folder = write_bundle(tmp_path / "run", FILES)
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o750


def test_the_manifest_says_what_sha256sum_says(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "run", {"a": b"abc"})
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    # FIPS 180-4's example.
    assert manifest["files"]["a"] == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
