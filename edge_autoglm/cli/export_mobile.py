"""`edge-autoglm export --target`: a model as a package for a phone's GPU."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .common import data_notes, notes, output, progress, shown, stem, write_json

if TYPE_CHECKING:
    from edge_export.mobile.model import MobileModel, Package
    from edge_quantize.data import Samples

TARGETS = ("android-gpu", "ios-metal")
PRECISIONS = ("float16", "float32", "int8")
# Of a user's data at most, unless --samples says otherwise.
_TO_COMPARE, _TO_QUANTIZE = 64, 160


@dataclass(frozen=True)
class Options:
    """The command line of a package, as it was given."""

    target: str
    out: Path | None
    precision: str | None
    data: str | None
    samples: int | None
    scale: str | None
    shapes: Sequence[str]
    labels: Path | None
    force: bool
    skip_check: bool
    json: Path | None


def export_mobile(model: str, options: Options) -> None:
    """Prepares, shows, and writes. Exits 1 when the GPU's result is not right and nobody forces."""
    from dataclasses import replace
    from json import loads

    from edge_autoglm.report.mobile import package_json, package_report
    from edge_autoglm.report.tables import narrowed
    from edge_export.folder import refuse_foreign
    from edge_export.mobile.model import Target, Variant
    from edge_export.mobile.package import KEPT, Wishes, prepare, source_model, write_package
    from edge_export.mobile.variants import check_variant
    from edge_export.mobile.verdict_file import VERDICT_FILE
    from edge_quantize.gpu import find_driver

    _check_usage(options)
    shapes = dict(_shape(text) for text in options.shapes)
    folder = options.out or Path(f"{stem(model)}_{options.target}")
    refuse_foreign(folder, VERDICT_FILE, KEPT)
    content, remarks = _content(model)
    name = _name(model)
    wishes = Wishes(
        remarks=remarks,
        precision=Variant(options.precision) if options.precision else None,
        shapes=shapes,
        check=not options.skip_check,
    )
    given = source_model(content, name, wishes)
    if options.samples is not None:
        wishes = replace(wishes, count=options.samples)
    wishes = replace(wishes, labels=_labels(given, options), samples=_samples(given, options))
    check_variant(given, wishes.precision, wishes.samples)
    driver = find_driver() if wishes.check else None
    with progress("checking" if wishes.check else "writing") as advance:
        package = prepare(
            content, name, Target(options.target), wishes, driver=driver, progress=advance
        )
    right = package.verdict.state in ("right", "unchecked")
    files: tuple[Path, ...] = ()
    if right or options.force:
        files = write_package(package, folder, force=options.force)
    console = output(options.json)
    for part in package_report(package):
        if isinstance(part, str):
            text = part if "\n" in part else narrowed(part, "  ")
            console.print(text, soft_wrap=True)
        else:
            console.print(part)
    _say_what_was_done(package, folder, files, options, model)
    document = package_json(package) | {"directory": str(folder) if files else None}
    if files:
        document["files"] = loads((folder / VERDICT_FILE).read_bytes())["files"]
    write_json(options.json, document)
    if not right and not options.force:
        raise typer.Exit(1)


def _say_what_was_done(
    package: Package, folder: Path, files: Sequence[Path], options: Options, model: str
) -> None:
    from edge_autoglm.report.tables import narrowed, plural, wrapped

    verdict, console = package.verdict, output(options.json)
    if verdict.works is not None:
        console.print(wrapped(f"What works: the {verdict.works} variant. Export it with"))
        console.print(f"  {_command(model, options, verdict.works)}", soft_wrap=True)
    if files:
        line = f"Written: {shown(folder)} ({len(files)} files; start with README.md)"
        console.print(wrapped(line, "  "), soft_wrap=True)
        if verdict.state == "unchecked":
            line = "warning: this package is UNCHECKED; leave out --skip-check to check it"
            refused = package.delegation.refused
            if refused:
                total = len(package.delegation.counted)
                line = (
                    f"warning: this package is UNCHECKED, and by the rules {len(refused)} of its "
                    f"{plural(total, 'operator')} would be the CPU's: {verdict.problems[0]}; leave "
                    "out --skip-check to check it"
                )
            notes().print(narrowed(line, "  "), soft_wrap=True)
        elif not verdict.right:
            notes().print(
                wrapped(
                    f"warning: forced: this package is {verdict.state.upper()} on the GPU; its "
                    "verdict.json and README.md say so",
                    "  ",
                )
            )
        return
    line = "Nothing was written; --force writes it all the same, with this verdict inside."
    console.print(wrapped(line, "  "), soft_wrap=True)


def _command(model: str, options: Options, precision: str) -> str:
    words = ["edge-autoglm", "export", model, "--target", options.target, "--precision", precision]
    if options.out is not None:
        words += ["-o", str(options.out)]
    for option, value in (("--data", options.data), ("--scale", options.scale)):
        words += [option, value] if value is not None else []
    words += ["--samples", str(options.samples)] if options.samples is not None else []
    words += ["--labels", str(options.labels)] if options.labels is not None else []
    for text in options.shapes:
        words += ["--shape", text]
    return shlex.join(words)


def _check_usage(options: Options) -> None:
    from edge_autoglm.errors import UsageError

    if options.skip_check and options.force:
        raise UsageError("--skip-check and --force: one of the two; unchecked there is no verdict")
    if options.data is None and options.scale is not None:
        raise UsageError("--scale: only with --data")
    if options.skip_check and options.data is None and options.samples is not None:
        raise UsageError("--samples: nothing is compared with --skip-check")


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    """`NAME=1,224,224,3`."""
    from edge_autoglm.errors import UsageError

    name, _, sizes = text.rpartition("=")
    try:
        shape = tuple(int(size) for size in sizes.split(","))
    except ValueError:
        shape = ()
    if not name or not shape or min(shape) < 1:
        raise UsageError(f"--shape {text}: write it as NAME=1,224,224,3")
    return name, shape


def _content(model: str) -> tuple[bytes, tuple[str, ...]]:
    """The file of a `.tflite` as it is; of any other model that `convert` takes, what it makes, and
    what that changed (an input's layout)."""
    path = Path(model)
    if path.suffix == ".tflite" and not path.is_dir():
        from edge_quantize.errors import ModelFileError
        from edge_quantize.ingest.source import read_model_file
        from edge_quantize.ingest.tflite import read_tflite

        content = read_model_file(path)
        try:
            read_tflite(content)
        except ModelFileError as error:
            raise ModelFileError(f"{path}: {error}", error.problems) from error
        return content, ()
    from edge_quantize.graph.writer import write_tflite

    from .common import converted

    made = converted(model)
    return write_tflite(made.graph), made.notes


def _name(model: str) -> str:
    return stem(model).split(".")[0] or "model"


def _labels(given: MobileModel, options: Options) -> tuple[str, ...]:
    if options.labels is None:
        return given.labels
    from edge_quantize.ingest.tflite import read_tflite
    from edge_quantize.labels import read_labels

    return read_labels(options.labels, read_tflite(given.content))


def _samples(given: MobileModel, options: Options) -> Samples | None:
    if options.data is None:
        return None
    from dataclasses import replace

    from edge_autoglm.errors import UsageError
    from edge_quantize.data import load_samples
    from edge_quantize.ingest.tflite import read_tflite

    graph = replace(read_tflite(given.content), name=given.name)
    quantizes = options.precision == "int8" and given.variant.value != "int8"
    if options.skip_check and not quantizes:
        raise UsageError("--data: nothing is compared with --skip-check")
    least, most = (2, _TO_QUANTIZE) if quantizes else (1, _TO_COMPARE)
    found = load_samples(
        options.data, graph, scale=options.scale, most=options.samples or most, least=least
    )
    data_notes(found)
    return found


def unheard(given: dict[str, Any], with_option: str) -> None:
    """Refuses options that would go unheard. Raises UsageError."""
    from edge_autoglm.errors import UsageError

    named = [name for name, value in given.items() if value]
    if named:
        raise UsageError(f"{', '.join(named)}: only with {with_option}")
