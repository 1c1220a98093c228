"""The folder of a search: a result takes the old one's place whole, or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from edge_autoglm.search.folder import CHOSEN, POINTS, REPORT, RESULT, ResultFolder, Writing
from edge_export.errors import ExportError

NAMES = (POINTS, CHOSEN, REPORT, RESULT)


def result(folder: Path, text: str) -> Path:
    for name in (POINTS, CHOSEN):
        (folder / name).mkdir(parents=True)
        (folder / name / "numbers.json").write_text(text)
    for name in (REPORT, RESULT):
        (folder / name).write_text(text)
    return folder


def texts(folder: Path) -> set[str]:
    return {path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("rename", range(1, 9))
def test_an_interruption_among_the_renames_leaves_the_old_result(
    there: bool, rename: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if there:
        result(tmp_path, "old")
    moves = 0
    real = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        nonlocal moves
        moves += 1
        if moves == rename:
            raise KeyboardInterrupt
        return real(self, target)

    def put(writing: Writing) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", interrupted)
            writing.put_in_place(result(writing.scratch / "result", "new"))

    with ResultFolder(tmp_path).writing() as writing:
        if rename > (8 if there else 4):
            put(writing)  # there are no more of them
        else:
            with pytest.raises(KeyboardInterrupt):
                put(writing)
    whole = not there and rename > 4
    assert texts(tmp_path) == ({"new"} if whole else {"old"} if there else set())
    assert {path.name for path in tmp_path.iterdir()} == (set(NAMES) if there or whole else set())


def test_a_new_result_takes_the_old_ones_place(tmp_path: Path) -> None:
    result(tmp_path, "old")
    with ResultFolder(tmp_path).writing() as writing:
        writing.put_in_place(result(writing.scratch / "result", "new"))
    assert texts(tmp_path) == {"new"}
    assert {path.name for path in tmp_path.iterdir()} == set(NAMES)


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_full_disk_is_said_of_the_users_folder(wrapped: bool, tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / ".new-1" / "c"))

    def fails() -> None:
        if not wrapped:
            raise full
        raise ExportError(f"{full.filename}: cannot be written") from full

    with pytest.raises(OSError, match="No space left") as caught, ResultFolder(tmp_path).writing():
        fails()
    assert caught.value.filename == str(tmp_path)
    assert caught.value.errno == errno.ENOSPC
