"""The Kotlin class: what its template leaves open, from the model and the verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from edge_export.mobile.model import Package
from edge_export.mobile.template import fill, load
from edge_export.mobile.wording import compared, half_words, weights
from edge_quantize.graph import DType

from .ports import KotlinPort
from .text import call, comment, float_literal, literal, paragraph
from .view import LITERT, KotlinModel, usage, verdict_line

# Android's limit for the tag of a log line, before version 8.
_LOG_TAG = 23


def kotlin_class(package: Package, kotlin: KotlinModel) -> str:
    """The source of the class."""
    model, named = kotlin.model, kotlin.names
    digest = hashlib.sha256(model.content).hexdigest()[:16]
    labels_file = kotlin.labels_file
    values = {
        "package": named.package,
        "class": named.type,
        "litert": LITERT,
        "summary": paragraph(f'"{named.shown}" ({weights(model)}) on the phone\'s GPU.', " * "),
        "verdict_doc": paragraph(verdict_line(package), " * "),
        "usage_doc": "\n".join(f" * {line}" for line in usage(kotlin)),
        "half": comment(half_words(package.verdict)),
        "checked": (
            "As the check before the export computed."
            if compared(package.verdict)
            else "Nearest to the CPU. Nothing was compared before the export."
        ),
        "name": literal(named.shown),
        "tag": literal(named.type[:_LOG_TAG]),
        "asset": literal(f"{named.word}.tflite"),
        "signature": literal(model.signature or ""),
        "cache_key": literal(f"{named.word}-{digest}"),
        "input_names": _names("INPUTS", kotlin.inputs),
        "output_names": _names("OUTPUTS", kotlin.outputs),
        "output_class": _output_class(kotlin.outputs),
        "run_doc": _run_doc(kotlin),
        "run": _run(kotlin),
        "bad_argument": _bad_argument(kotlin.inputs),
        "warm_up": _warm_up(kotlin.inputs),
        "math_imports": _math_imports(kotlin.inputs),
        "helpers": _helpers(kotlin),
        "constants": _labels_in_code(kotlin),
        "asset_import": "import android.content.res.AssetManager" if labels_file else "",
        "labels_parameter": (
            "/** Names of the classes, in the order of the output. */\nval labels: List<String>,"
            if labels_file
            else ""
        ),
        "labels_argument": "readLabels(context.assets)," if labels_file else "",
        "labels_property": (
            "/** Names of the classes, in the order of the output. */\n"
            "val labels: List<String> get() = LABELS"
            if kotlin.labels and not labels_file
            else ""
        ),
        "label_class": load("android", "label_class.kt") if kotlin.labels else "",
        "top": load("android", "top.kt") if kotlin.labels else "",
    }
    return fill(load("android", "Model.kt"), values)


def _names(constant: str, ports: Sequence[KotlinPort]) -> str:
    names = [literal(port.key) for port in ports]
    return "\n".join(call(f"private val {constant} = listOf", names))


def _output_class(outputs: Sequence[KotlinPort]) -> str:
    if len(outputs) == 1:
        return ""
    lines = ["/**", " * What one run gives.", " *"]
    for port in outputs:
        lines += _tag(f"@property {port.name}", port)
    lines += [" */", "class Output("]
    lines += [f"    val {port.name}: {port.array}," for port in outputs]
    return "\n".join([*lines, ")"])


def _tag(tag: str, port: KotlinPort) -> list[str]:
    said = f"{tag} {port.description}"
    if port.name != port.key:
        said += f"; in the model: `{comment(port.key).replace('`', ' ')}`"
    return paragraph(said, " * ", " *   ", 94).splitlines()


def _run_doc(kotlin: KotlinModel) -> str:
    lines = [line for port in kotlin.inputs for line in _tag(f"@param {port.name}", port)]
    if len(kotlin.outputs) == 1:
        lines += _tag("@return", kotlin.outputs[0])
    return "\n".join(lines)


def _warm_up(inputs: Sequence[KotlinPort]) -> str:
    """A run on arguments that are zero all over, as often as asked."""
    arguments = [f"{port.name} = {port.array}({port.elements})" for port in inputs]
    lines = call("run", arguments)
    if len(lines) == 1:
        return f"repeat(runs) {{ {lines[0]} }}"
    return "\n".join(["repeat(runs) {", *(f"    {line}" for line in lines), "}"])


def _bad_argument(inputs: Sequence[KotlinPort]) -> str:
    quantized = any(port.quantization for port in inputs)
    return "an array of another size" + (", or with a NaN" if quantized else "")


def _run(kotlin: KotlinModel) -> str:
    inputs, outputs = kotlin.inputs, kotlin.outputs
    result = outputs[0].array if len(outputs) == 1 else "Output"
    if len(inputs) == 1:
        head = [f"fun run({inputs[0].name}: {inputs[0].array}): {result} {{"]
    else:
        head = ["fun run("]
        head += [f"    {port.name}: {port.array}," for port in inputs]
        head += [f"): {result} {{"]
    checks = [line for port in inputs for line in _check(port)]
    body: list[str] = []
    for port in inputs:
        body += _write(port)
    body += ["compiled.run(inputBuffers, outputBuffers, SIGNATURE)"]
    if len(outputs) == 1:
        body += _read(outputs[0])
    else:
        named = [line for port in outputs for line in _read(port, f"{port.name} = ", ",")]
        body += ["Output(", *(f"    {line}" for line in named), ")"]
    body = ["    return calling {", *(f"        {line}" for line in body), "    }"]
    return "\n".join([*head, *checks, *body, "}"])


def _check(port: KotlinPort) -> list[str]:
    head = f"    require({port.name}.size == {port.elements}) {{"
    message = f'"{port.name} takes {port.count}, not ${{{port.name}.size}}"'
    line = f"{head} {message} }}"
    return [line] if len(line) <= 96 else [head, f"        {message}", "    }"]


def _buffer_of(kind: str, port: KotlinPort) -> str:
    return f"{kind}Buffers.getValue({literal(port.key)})"


def _write(port: KotlinPort) -> list[str]:
    head = f"{_buffer_of('input', port)}.write{port.method}"
    if not port.quantization:
        return call(head, [port.name])
    least, most = port.range
    arguments = [literal(port.name), port.name, *_affine(port), f"{least}..{most}"]
    inner = call("quantize", arguments)
    if len(inner) == 1:
        return call(head, inner)
    return [f"{head}(", *(f"    {line}" for line in inner[:-1]), f"    {inner[-1]},", ")"]


def _read(port: KotlinPort, before: str = "", after: str = "") -> list[str]:
    read = f"{_buffer_of('output', port)}.read{port.method}()"
    if not port.quantization:
        return [f"{before}{read}{after}"]
    function = "dequantizeUnsigned" if port.dtype is DType.UINT8 else "dequantize"
    return call(f"{before}{function}", [read, *_affine(port)], after)


def _affine(port: KotlinPort) -> list[str]:
    assert port.quantization is not None
    zero_point = port.quantization.zero_point
    return [f"scale = {float_literal(port.scale)}", f"zeroPoint = {zero_point}"]


def _math_imports(inputs: Sequence[KotlinPort]) -> str:
    return "import kotlin.math.floor" if any(port.quantization for port in inputs) else ""


def _labels_in_code(kotlin: KotlinModel) -> str:
    if not kotlin.labels or kotlin.labels_file:
        return ""
    entries = [f"    {literal(label)}," for label in kotlin.labels]
    return "\n".join(["private val LABELS = listOf(", *entries, ")"])


def _helpers(kotlin: KotlinModel) -> str:
    wanted = []
    if any(port.quantization for port in kotlin.inputs):
        wanted.append("quantize.kt")
    kinds = {port.dtype for port in kotlin.outputs if port.quantization}
    if DType.INT8 in kinds:
        wanted.append("dequantize.kt")
    if DType.UINT8 in kinds:
        wanted.append("dequantize_unsigned.kt")
    blocks = [load("android", name) for name in wanted]
    if kotlin.labels_file:
        blocks.append(
            fill(load("android", "read_labels.kt"), {"file": literal(kotlin.labels_file)})
        )
    return "\n".join(blocks)
