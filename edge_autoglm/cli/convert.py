"""`edge-autoglm convert`: a model of any usual kind as a float `.tflite`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import JsonOption, keep_apart, notes, one_of, output, shown, stem, write_json

ENVIRONMENTS = ("onnx",)


def convert(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help=".tflite, .keras, .h5, SavedModel folder, .pt2, .onnx or module:function.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The .tflite (default: NAME.tflite)."),
    ] = None,
    signature: Annotated[
        str | None,
        typer.Option("--signature", metavar="S", help="Which signature of a SavedModel."),
    ] = None,
    prepare: Annotated[
        str | None,
        typer.Option(
            "--prepare",
            metavar="onnx",
            callback=one_of("--prepare", ENVIRONMENTS),
            help="Make the environment that ONNX models need, and do nothing else.",
        ),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option("--log", metavar="FILE", help="Where to write what the framework printed."),
    ] = None,
    json: JsonOption = None,
) -> None:
    """Convert MODEL to a float .tflite, and compare the two.

    The batch is fixed at 1. What was specialised is said. A result that differs from the source
    framework's is not written.
    """
    from edge_autoglm.errors import UsageError

    if prepare is not None:
        if model is not None:
            raise UsageError("--prepare: takes no MODEL")
        _prepare(json)
        return
    if model is None:
        raise UsageError("convert: which MODEL?")
    _convert(model, out, signature, log, json)


def _prepare(json: Path | None) -> None:
    from edge_autoglm.report.tables import wrapped
    from edge_quantize.ingest.onnx_environment import prepare_environment

    environment = prepare_environment(lambda text: notes().print(f"{text} ...", soft_wrap=True))
    versions = ", ".join(f"{name} {version}" for name, version in environment.versions.items())
    line = f"The environment for ONNX is ready: {environment.folder} ({versions})"
    output(json).print(wrapped(line, "  "), soft_wrap=True)
    write_json(json, {"folder": str(environment.folder), "versions": environment.versions})


def _convert(
    model: str, out: Path | None, signature: str | None, log: Path | None, json: Path | None
) -> None:
    from edge_autoglm.files import check_writable, write_whole
    from edge_autoglm.report.conversion import conversion_json, conversion_lines
    from edge_autoglm.report.tables import wrapped
    from edge_quantize.errors import ConversionError
    from edge_quantize.graph.writer import write_tflite
    from edge_quantize.ingest.ways import convert_model

    out = out or Path(f"{stem(model)}.tflite")
    keep_apart(model, out)
    for path in (out, log):
        if path is not None:
            check_writable(path)
    try:
        conversion = convert_model(
            model,
            signature=signature,
            say=lambda text: notes().print(f"{text} ...", soft_wrap=True),
        )
    except ConversionError as error:
        if log is None or not error.log.strip():
            raise
        write_whole(log, error.log.encode())
        raise ConversionError(f"{error} (all that it printed: {shown(log)})") from error
    content = write_tflite(conversion.graph)
    write_whole(out, content)
    for line in conversion_lines(conversion, out, len(content)):
        output(json).print(wrapped(line, "  "), soft_wrap=True)
    write_json(json, conversion_json(conversion, model, out, len(content)))
