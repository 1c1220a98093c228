"""The Kotlin class: what its template leaves open, from the model and the verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from edge_export.mobile.model import MobileModel, Package, Verdict
from edge_export.mobile.naming import Style, identifier
from edge_quantize.graph import DType

from .ports import HARD_KEYWORDS, KotlinPort, kotlin_ports
from .template import fill, load
from .text import comment, float_literal, literal, paragraph

LITERT = "2.3.0"
_JAVA_KEYWORDS = frozenset(
    [
        "abstract",
        "assert",
        "boolean",
        "byte",
        "case",
        "catch",
        "char",
        "const",
        "default",
        "double",
        "enum",
        "extends",
        "final",
        "finally",
        "float",
        "goto",
        "implements",
        "import",
        "instanceof",
        "int",
        "long",
        "native",
        "new",
        "private",
        "protected",
        "public",
        "short",
        "static",
        "strictfp",
        "switch",
        "synchronized",
        "throws",
        "transient",
        "void",
        "volatile",
    ]
)
# Types that the generated file names; a model's own class must not hide them.
_TYPES = frozenset(
    [
        "Accelerator",
        "Any",
        "Array",
        "AtomicBoolean",
        "AutoCloseable",
        "Boolean",
        "BooleanArray",
        "Byte",
        "ByteArray",
        "CompiledModel",
        "Context",
        "Environment",
        "Exception",
        "Fallback",
        "FallbackListener",
        "File",
        "Float",
        "FloatArray",
        "Int",
        "IntArray",
        "Label",
        "LinkageError",
        "List",
        "LiteRtAccelerator",
        "LiteRtException",
        "Log",
        "Long",
        "LongArray",
        "Map",
        "Options",
        "Output",
        "Precision",
        "Priority",
        "Set",
        "String",
        "Throwable",
        "Unit",
        "Use",
        "AssetManager",
    ]
)
# Kotlin compiles a list of so many strings in one method; longer ones are read from an asset.
_LABELS_IN_CODE = 500


@dataclass(frozen=True)
class Names:
    """What the module's parts are called: `word` in file names, package and asset."""

    shown: str
    word: str
    package: str
    type: str
    variable: str

    @property
    def folder(self) -> str:
        return self.package.replace(".", "/")


def names(model: MobileModel) -> Names:
    """Valid for Kotlin, Java (Android's R class), Gradle and every file system."""
    word = identifier(model.name, HARD_KEYWORDS | _JAVA_KEYWORDS, Style.SNAKE, "model")
    kind = identifier(model.name, _TYPES, Style.UPPER_CAMEL, "model")
    variable = identifier(model.name, HARD_KEYWORDS | {"context"}, Style.LOWER_CAMEL, "model")
    return Names(comment(model.name) or word, word, f"edgeautoglm.{word}", kind, variable)


@dataclass(frozen=True)
class KotlinModel:
    """The model as the templates see it. `labels` are empty where they do not fit the output."""

    model: MobileModel
    names: Names
    inputs: tuple[KotlinPort, ...]
    outputs: tuple[KotlinPort, ...]
    labels: tuple[str, ...]
    remark: str  # why there are no labels though the model has some

    @property
    def labels_file(self) -> str | None:
        """The asset that holds the labels, where the code does not."""
        return f"{self.names.word}.labels.txt" if len(self.labels) > _LABELS_IN_CODE else None

    @property
    def call(self) -> str:
        """A call of `run` with its inputs as variables."""
        return f"{self.names.variable}.run({', '.join(port.name for port in self.inputs)})"


def kotlin_model(model: MobileModel) -> KotlinModel:
    """Raises ExportError for inputs and outputs that Kotlin cannot write or read."""
    inputs, outputs = kotlin_ports(model)
    # A label is a line of a file and of a screen.
    labels = tuple(" ".join(label.split()) for label in model.labels)
    remark = ""
    if labels and len(outputs) != 1:
        remark = f"The model names {len(labels)} classes for {len(outputs)} outputs"
    elif labels and outputs[0].elements != len(labels):
        remark = f"The model names {len(labels)} classes for {outputs[0].elements} values"
    elif labels and outputs[0].array != "FloatArray":
        remark = f"The model's output is {outputs[0].dtype.value} without a scale: no scores"
    return KotlinModel(model, names(model), inputs, outputs, () if remark else labels, remark)


def verdict_line(verdict: Verdict) -> str:
    """The verdict in one line, with what it leaves open."""
    head = {
        "right": "Checked: the GPU computes what the CPU does.",
        "wrong": "WRONG ON THE GPU, and written all the same (--force).",
        "refused": "THE GPU BACKEND REFUSED IT, and it was written all the same (--force).",
        "unchecked": "UNCHECKED: nobody compared the GPU's result with the CPU's.",
    }[verdict.state]
    parts = [head, verdict.why, *verdict.limits]
    return " ".join(part.rstrip(".") + "." for part in map(comment, parts) if part)


def kotlin_class(package: Package, kotlin: KotlinModel) -> str:
    """The source of the class."""
    model, named = kotlin.model, kotlin.names
    digest = hashlib.sha256(model.content).hexdigest()[:16]
    labels_file = kotlin.labels_file
    values = {
        "package": named.package,
        "class": named.type,
        "litert": LITERT,
        "summary": f'"{named.shown}" ({_weights(model)}) on the phone\'s GPU.',
        "verdict_doc": paragraph(verdict_line(package.verdict), " * "),
        "usage_doc": "\n".join(f" * {line}" for line in usage(kotlin)),
        "name": literal(named.shown),
        "asset": literal(f"{named.word}.tflite"),
        "signature": literal(model.signature or ""),
        "cache_key": literal(f"{named.word}-{digest}"),
        "input_buffers": "\n".join(_buffer("Input", port) for port in kotlin.inputs),
        "output_buffers": "\n".join(_buffer("Output", port) for port in kotlin.outputs),
        "output_class": _output_class(kotlin.outputs),
        "run_doc": _run_doc(kotlin),
        "run": _run(kotlin),
        "bad_argument": _bad_argument(kotlin.inputs),
        "zeros": zeros(kotlin.inputs),
        "math_imports": _math_imports(kotlin.inputs),
        "helpers": _helpers(kotlin),
        "constants": _labels_in_code(kotlin),
        "asset_import": "import android.content.res.AssetManager" if labels_file else "",
        "labels_parameter": (
            "/** Names of the classes, in the order of the output. */\nval labels: List<String>,"
            if labels_file
            else ""
        ),
        "labels_argument": ", readLabels(context.assets)" if labels_file else "",
        "labels_property": (
            "/** Names of the classes, in the order of the output. */\n"
            "val labels: List<String> get() = LABELS\n"
            if kotlin.labels and not labels_file
            else ""
        ),
        "label_class": load("label_class.kt").rstrip("\n") if kotlin.labels else "",
        "top": load("top.kt").rstrip("\n") if kotlin.labels else "",
    }
    return fill(load("Model.kt"), values)


def usage(kotlin: KotlinModel) -> list[str]:
    """The lines of the smallest use."""
    named = kotlin.names
    lines = [f"val {named.variable} = {named.type}.create(context)", f"val output = {kotlin.call}"]
    if kotlin.labels:
        lines.append(f"val best = {named.variable}.top(output, count = 1).first().name")
    return [*lines, f"{named.variable}.close()"]


def zeros(inputs: Sequence[KotlinPort]) -> str:
    """Arguments of `run` that are zero all over."""
    return ", ".join(f"{port.name} = {port.array}({port.elements})" for port in inputs)


def _weights(model: MobileModel) -> str:
    return "int8" if model.variant == "int8" else f"{model.variant} weights"


def _buffer(kind: str, port: KotlinPort) -> str:
    key = literal(port.key)
    return f"{key} to compiled.create{kind}Buffer({key}, SIGNATURE),"


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
    first, *rest = paragraph(said, " * ", 94).splitlines()
    return [first, *(f" *   {line[3:]}" for line in rest)]


def _run_doc(kotlin: KotlinModel) -> str:
    lines = [line for port in kotlin.inputs for line in _tag(f"@param {port.name}", port)]
    if len(kotlin.outputs) == 1:
        lines += _tag("@return", kotlin.outputs[0])
    return "\n".join(lines)


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
    checks = [
        line
        for port in inputs
        for line in (
            f"    require({port.name}.size == {port.elements}) {{",
            f'        "{port.name} takes {port.elements} values, not ${{{port.name}.size}}"',
            "    }",
        )
    ]
    body = ["    return calling {"]
    body += [
        f"        inputBuffers.getValue({literal(port.key)}).write{port.method}({_written(port)})"
        for port in inputs
    ]
    body += ["        compiled.run(inputBuffers, outputBuffers, SIGNATURE)"]
    if len(outputs) == 1:
        body += [f"        {_read(outputs[0])}"]
    else:
        body += ["        Output("]
        body += [f"            {port.name} = {_read(port)}," for port in outputs]
        body += ["        )"]
    return "\n".join([*head, *checks, *body, "    }", "}"])


def _written(port: KotlinPort) -> str:
    if not port.quantization:
        return port.name
    least, most = port.range
    return (
        f"quantize({port.name}, {float_literal(port.scale)}, "
        f"{port.quantization.zero_point}, {least}..{most})"
    )


def _read(port: KotlinPort) -> str:
    read = f"outputBuffers.getValue({literal(port.key)}).read{port.method}()"
    if not port.quantization:
        return read
    function = "dequantizeUnsigned" if port.dtype is DType.UINT8 else "dequantize"
    return f"{function}({read}, {float_literal(port.scale)}, {port.quantization.zero_point})"


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
    blocks = [load(name).rstrip("\n") for name in wanted]
    if kotlin.labels_file:
        blocks.append(
            fill(load("read_labels.kt"), {"file": literal(kotlin.labels_file)}).rstrip("\n")
        )
    return "".join(f"\n{block}\n" for block in blocks)
