"""The folder that a search leaves behind.

DIR/study.journal            the study, with which the search goes on
DIR/optimize.json            what was asked, the points, and which was chosen
DIR/report.html              the same for people, with plots
DIR/points/point-NNN/        the model, numbers.json, recipe.toml; one folder a point
DIR/chosen/                  the same of the one chosen, and c/, its generated C
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_autoglm.files import OutputError, write_whole
from edge_export.errors import ExportError

from .finalists import export_to
from .study import JOURNAL

if TYPE_CHECKING:
    from .optimize import Outcome

RESULT, REPORT, POINTS, CHOSEN, SOURCES = "optimize.json", "report.html", "points", "chosen", "c"
_OURS = {RESULT, REPORT, POINTS, CHOSEN, JOURNAL, f"{JOURNAL}.lock"}
_SCRATCH = ".new-"


@dataclass(frozen=True)
class ResultFolder:
    """A folder of results, which may be there already."""

    path: Path

    def check(self, model: str = "", board: str = "", level: int = 3) -> None:
        """Raises OutputError where something else is there (with `model`, its SHA-256, a result of
        another model or board too), or a study that a lower `level` would overwrite, or it cannot
        be made."""
        path = self.path
        if path.exists() and not path.is_dir():
            raise OutputError(f"{path}: is a file; -o names a folder")
        if not path.exists():
            if not path.parent.is_dir():
                raise OutputError(f"{path}: there is no folder {path.parent}; make it first")
            return
        strange = sorted(
            p.name for p in path.iterdir() if p.name not in _OURS and _SCRATCH not in p.name
        )
        if strange:
            raise OutputError(
                f"{path}: holds {strange[0]}, which no search left there; name an empty folder"
            )
        found = self._result()
        for what, mine in (("model_sha256", model), ("board", board)):
            if mine and found.get(what, mine) != mine:
                raise OutputError(
                    f"{path}: holds the result of another {what.removesuffix('_sha256')} "
                    f"({str(found[what])[:16]}); name another folder, or remove it"
                )
        if level < 3 and (found.get("level") == 3 or (path / JOURNAL).exists()):
            called = f" of {found['model']}" if "model" in found else ""
            raise OutputError(f"{path}: holds a level-3 study{called}; choose another -o")

    def _result(self) -> dict[str, Any]:
        """What an earlier run left; empty where there is none, or it cannot be read."""
        try:
            document = json.loads((self.path / RESULT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    @contextmanager
    def keeping(self) -> Iterator[Path]:
        """The folder, made; it goes again where nothing was put into it."""
        made = not self.path.exists()
        self.path.mkdir(exist_ok=True)
        try:
            yield self.path
        finally:
            if made:
                with suppress(OSError):
                    self.path.rmdir()

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """A place to write the results, which take the old ones' place in `finish`."""
        with self.keeping() as folder:
            scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=folder))
            try:
                yield Writing(folder, scratch)
            except OSError as error:
                error.filename, error.filename2 = str(folder), None
                raise
            except ExportError as error:
                cause = error.__cause__
                if not isinstance(cause, OSError):
                    raise
                # Generated C that could not be written: the scratch folder says nothing to a user.
                cause.filename, cause.filename2 = str(folder), None
                raise cause from None
            finally:
                shutil.rmtree(scratch, ignore_errors=True)


@dataclass(frozen=True)
class Writing:
    """Results on their way: `scratch` lies in the folder, and goes in the end."""

    folder: Path
    scratch: Path

    def finish(self, outcome: Outcome) -> None:
        """Writes everything, then puts it into its place. Raises OSError, ExportError."""
        from edge_autoglm.report.html import write_html
        from edge_autoglm.report.optimize import outcome_json, outcome_report

        new = self.scratch / "result"
        for entry in outcome.points:
            entry.write(new / POINTS / entry.name)
        chosen = outcome.chosen.write(new / CHOSEN)
        export_to(
            new / CHOSEN / SOURCES,
            chosen.graph,
            outcome.board,
            chosen.kernels,
            outcome.asked.fuse_ops,
        )
        text = json.dumps(outcome_json(outcome), indent=2, ensure_ascii=False) + "\n"
        write_whole(new / RESULT, text.encode())
        write_html(new / REPORT, outcome_report(outcome))
        self.put_in_place(new)

    def put_in_place(self, new: Path) -> None:
        """Everything of `new` in the folder, or, interrupted in between, all that was there."""
        names = (POINTS, CHOSEN, REPORT, RESULT)
        try:
            for name in names:
                if (self.folder / name).exists():
                    (self.folder / name).rename(self.scratch / f"old-{name}")
                (new / name).rename(self.folder / name)
        except BaseException:
            for name in names:
                kept = self.scratch / f"old-{name}"
                if not (new / name).exists():  # is in place already
                    (self.folder / name).rename(new / name)
                if kept.exists():
                    kept.rename(self.folder / name)
            raise
