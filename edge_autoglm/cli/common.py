"""Options that several commands share, and the two consoles."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from edge_boards.board import Board
    from edge_quantize.data import Samples
    from edge_quantize.graph import Graph
    from edge_quantize.ingest.conversion import Conversion

BoardOption = Annotated[
    str, typer.Option("--board", "-b", metavar="B", help="Board: a name of `boards`, or a file.")
]
BoardsOption = Annotated[
    Path | None,
    typer.Option(
        "--boards",
        metavar="DIR",
        help="A folder of board files of your own, beside the shipped ones "
        "(or name it in EDGE_AUTOGLM_BOARDS).",
    ),
]


def _writable(path: Path | None) -> Path | None:
    """Refuses a file that cannot be written before anything is done for it."""
    if path is not None and str(path) != "-":
        from edge_autoglm.files import check_writable

        check_writable(path)
    return path


JsonOption = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE",
        callback=_writable,
        help="Also write the result as JSON; - for stdout (tables then go to stderr).",
    ),
]
HtmlOption = Annotated[
    Path | None,
    typer.Option(
        "--html",
        metavar="FILE",
        callback=_writable,
        help="Also write the report as one HTML page that opens offline.",
    ),
]
JsonLinesOption = Annotated[
    Path | None,
    typer.Option(
        "--jsonl",
        metavar="FILE",
        callback=_writable,
        help="Append one JSON line an inference; - for stdout (no table then).",
    ),
]
PortOption = Annotated[
    str | None,
    typer.Option("--port", "-p", metavar="PORT", help="auto, virtual, or a port (/dev/ttyACM0)."),
]
DataOption = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="D",
        help="Samples: a .npz or .npy file, a folder of WAV or pictures (subfolders are classes), "
        "or MODULE:FUNCTION.",
    ),
]
ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="An int8 .tflite file.")]
# Names that edge_boards and edge_export have, whose import would slow `--help`.
TOOLCHAINS = ("gcc", "zig")
RUNTIMES = ("aot", "tflm")
KERNELS = ("cmsis-nn", "reference")
BUILDERS = ("own", "platformio")
SCALES = ("0..1", "-1..1", "0..255")


def one_of(option: str, names: tuple[str, ...]) -> Callable[[str | None], str | None]:
    """Refuses another value before any work is done."""

    def check(name: str | None) -> str | None:
        if name is not None and name not in names:
            from edge_autoglm.errors import UsageError

            raise UsageError(f"{option}: no {name!r}; one of {', '.join(names)}")
        return name

    return check


ScaleOption = Annotated[
    str | None,
    typer.Option(
        "--scale",
        metavar="S",
        callback=one_of("--scale", SCALES),
        help="What pictures' 0 to 255 become: 0..1 (default), -1..1 or 0..255.",
    ),
]
SamplesOption = Annotated[
    int | None,
    typer.Option("--samples", min=1, metavar="N", help="Use at most N samples, evenly of all."),
]
ToolchainOption = Annotated[
    str | None,
    typer.Option(
        "--toolchain",
        metavar="T",
        callback=one_of("--toolchain", TOOLCHAINS),
        help="gcc or zig; by default what is found.",
    ),
]
RuntimeOption = Annotated[
    str,
    typer.Option(
        "--runtime",
        metavar="R",
        callback=one_of("--runtime", RUNTIMES),
        help="aot (C compiled ahead of time) or tflm (arrays for TFLM's interpreter).",
    ),
]
KernelsOption = Annotated[
    str | None,
    typer.Option(
        "--kernels",
        metavar="K",
        callback=one_of("--kernels", KERNELS),
        help="What TFLM's library is built with: cmsis-nn (default) or reference.",
    ),
]
TflmOption = Annotated[
    Path | None,
    typer.Option(
        "--tflm",
        metavar="DIR",
        help="A tflite-micro checkout with its library, for --runtime tflm "
        "(or name it in EDGE_AUTOGLM_TFLM).",
    ),
]
WithOption = Annotated[
    str | None,
    typer.Option(
        "--with",
        metavar="W",
        callback=one_of("--with", BUILDERS),
        help="own or platformio; by default own, and platformio where the board has an Arduino "
        "core.",
    ),
]
RunsOption = Annotated[
    int | None,
    typer.Option("-n", "--runs", min=1, help="Runs measured (100; on a virtual board 1)."),
]
WarmupOption = Annotated[
    int | None,
    typer.Option("--warmup", min=0, help="Runs before them (5; on a virtual board 1)."),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from edge_autoglm import __version__

        print(f"edge-autoglm {__version__}")
        raise typer.Exit


def version_option(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """The options of the program itself."""


def output(json: Path | None = None) -> Console:
    """Where tables go: stdout, unless `json` goes there."""
    from rich.console import Console

    # Names and paths are printed as they are: "[b]" in one is no mark-up.
    return Console(stderr=str(json) == "-", highlight=False, markup=False, emoji=False)


def notes() -> Console:
    """Where progress and remarks go: stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def shown(path: Path) -> Path:
    """`path` as the user would write it: from the working folder where it lies below that."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def the_board(name: str, folder: Path | None) -> Board:
    """The board called `name`. Raises UnknownBoardError, BoardFileError."""
    from edge_boards.loader import load_board

    return load_board(name, folders=(folder,) if folder else ())


def any_model(model: str) -> Graph:
    """A model of any kind; a `.tflite` as it is (float, or quantized already).

    Raises ModelFileError and what reading it raises.
    """
    from edge_quantize.ingest.tflite import read_tflite

    path = Path(model)
    if path.suffix == ".tflite" and not path.is_dir():
        return read_tflite(path)  # converting takes float ones only
    return converted(model).graph


def converted(model: str) -> Conversion:
    """What `convert` makes of a model that is no `.tflite`; what it does is said on stderr.

    Raises ModelFileError and what reading it raises.
    """
    from edge_quantize.ingest.ways import convert_model

    return convert_model(model, say=lambda text: notes().print(f"{text} ..."))


def check_samples(most: int | None, least: int = 2) -> None:
    """Refuses a --samples that is too small for what is asked. Raises UsageError."""
    from edge_autoglm.errors import UsageError

    if most is not None and most < least:
        raise UsageError(f"--samples: {most}; at least {least} are needed")


def data_notes(samples: Samples) -> None:
    """What is odd about data, on stderr."""
    from edge_autoglm.report.tables import wrapped

    for note in samples.notes:
        notes().print(wrapped(f"note: {note}", "  "), soft_wrap=True)


def command_line(context: typer.Context) -> str:
    """The command as it was given, as reports say how a figure was printed."""
    import shlex

    return shlex.join(["edge-autoglm", *(context.obj or ())])


def keep_apart(model: str, out: Path) -> None:
    """Refuses to write the result over the model. Raises UsageError."""
    from edge_autoglm.errors import UsageError

    if out.exists() and Path(model).exists() and out.samefile(model):
        raise UsageError(f"{out}: is the MODEL itself; name another file with -o")


def stem(model: str) -> str:
    """What a model is called in the names of its results: as its file, or as its function."""
    path = Path(model)
    if path.exists():
        return path.name if path.is_dir() else path.stem
    return Path(model.rpartition(":")[2]).stem or "model"


def write_json(path: Path | None, value: Any) -> None:
    """Writes `value` to `path` (whole or not at all), or to stdout for `-`; nothing for None."""
    if path is None:
        return
    import json

    text = json.dumps(value, indent=2, sort_keys=False, ensure_ascii=False) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
        return
    from edge_autoglm.files import write_whole

    # A path that is no UTF-8 has lone surrogates, which JSON escapes in the same way.
    write_whole(path, text.encode("utf-8", "backslashreplace"))


@contextmanager
def progress(description: str, total: float | None = None) -> Iterator[Any]:
    """A progress bar on stderr; yields `advance(done, total, doing=None)`, where `doing` is another
    description from there on.

    A terminal shows `doing` with "done of total". Off a terminal each description is printed
    once, so that a log shows what is going on.
    """
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = notes()
    if not console.is_terminal:
        said = {description}
        console.print(f"{description} ...")

        def say(done: float, total: float | None = None, doing: str | None = None) -> None:
            del done, total
            if doing and doing not in said:
                said.add(doing)
                console.print(f"{doing} ...")

        yield say
        return
    bar: Progress = Bar(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
        console=console, transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task(description, total=total)

        def advance(done: float, total: float | None = None, doing: str | None = None) -> None:
            now = f"{doing}, {done} of {total}" if doing else description
            bar.update(task, completed=done, total=total, description=now)

        yield advance
