"""A folder that an export writes takes nothing of anybody else's away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_export.errors import ExportError
from edge_export.folder import refuse_foreign, staged

MARKER = "export.json"


def export(target: Path, text: str = "new", kept: tuple[str, ...] = ()) -> None:
    with staged(target, MARKER, kept) as staging:
        (staging / "src").mkdir()
        (staging / "src" / "model.c").write_text(text)
        (staging / "Frameworks").mkdir()
        (staging / "Frameworks" / "README").write_text("put them here")
        (staging / "plan.json").write_text(text)
        said = {"files": {"src/model.c": "", "Frameworks/README": ""}, "others": ["plan.json"]}
        (staging / MARKER).write_text(json.dumps(said))


def test_a_folder_of_an_earlier_export_is_replaced_changed_files_and_builds_too(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    export(out)
    (out / "plan.json").write_text("changed by hand")
    (out / "build").mkdir()
    (out / "build" / "model.o").write_text("")
    export(out, "newer")
    assert (out / "plan.json").read_text() == "newer"
    assert not (out / "build").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["kws.tflite", "src/mine.c", ".git/HEAD", "notes/a/b.txt"])
def test_a_folder_with_a_file_of_somebodys_is_left_and_the_file_named(
    tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    export(out)
    theirs = out / name
    theirs.parent.mkdir(parents=True, exist_ok=True)
    theirs.write_text("theirs")
    with pytest.raises(ExportError, match=name.replace(".", r"\.")):
        export(out, "newer")
    assert theirs.read_text() == "theirs"
    assert (out / "src" / "model.c").read_text() == "new"


@pytest.mark.parametrize("content", ["{}", "[]", "no JSON", '{"files": 3}'])
def test_a_file_of_the_markers_name_makes_no_export(tmp_path: Path, content: str) -> None:
    out = tmp_path / "project"
    out.mkdir()
    (out / MARKER).write_text(content)
    (out / "train.py").write_text("")
    with pytest.raises(ExportError, match="not made by an export"):
        export(out)
    assert (out / "train.py").exists()


def test_what_a_user_puts_where_he_is_told_to_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(out, kept=("Frameworks",))
    (out / "Frameworks" / "TensorFlowLiteC.xcframework").mkdir()
    (out / "Frameworks" / "TensorFlowLiteC.xcframework" / "Info.plist").write_text("theirs")
    export(out, "newer", kept=("Frameworks",))
    assert (out / "src" / "model.c").read_text() == "newer"
    assert (out / "Frameworks" / "TensorFlowLiteC.xcframework" / "Info.plist").is_file()


def test_a_link_to_a_folder_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    export(real)
    link.symlink_to(real)
    export(link, "newer")
    assert link.is_symlink()
    assert (real / "src" / "model.c").read_text() == "newer"


def test_the_folder_that_one_is_in_is_not_replaced_from_under_oneself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out" / "src")
    with pytest.raises(ExportError, match="you are in it"):
        export(tmp_path / "out")


def test_a_place_that_cannot_be_made_is_known_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="is not a folder"):
        refuse_foreign(tmp_path / "file" / "sub", MARKER)
