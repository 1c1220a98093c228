"""The Gradle module around the class: build file, manifest, rules, test, README."""

from __future__ import annotations

from pathlib import Path

from edge_export.errors import ExportError
from edge_export.mobile.model import Package, Verdict

from .ports import KotlinPort
from .source import LITERT, KotlinModel, kotlin_class, kotlin_model, usage, verdict_line
from .template import fill, load
from .text import comment, float_literal, paragraph

MIN_SDK = 24
COMPILE_SDK = 35
# What `edge_export.mobile.check` allows where a verdict holds no tolerance (--skip-check).
_RELATIVE = 1e-3
_LSB = 1.0


def write_android(package: Package, directory: Path) -> tuple[Path, ...]:
    """Writes a Gradle library module into `directory` and gives its files, sorted.

    The same package gives the same bytes. Raises ExportError for inputs and outputs that LiteRT's
    Kotlin API cannot write or read (nothing is written then), and for a folder that cannot be
    written.
    """
    kotlin = kotlin_model(package.model)
    texts = module_texts(package, kotlin)
    contents = {name: text.encode() for name, text in texts.items()}
    contents[f"src/main/assets/{kotlin.names.word}.tflite"] = package.model.content
    paths = []
    try:
        for name, content in sorted(contents.items()):
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            paths.append(path)
    except OSError as error:
        raise ExportError(f"{directory}: cannot be written: {error.strerror or error}") from error
    return tuple(paths)


def module_texts(package: Package, kotlin: KotlinModel) -> dict[str, str]:
    """Every text file of the module: path -> content."""
    named = kotlin.names
    values = {
        "package": named.package,
        "class": named.type,
        "shown": named.shown,
        "word": named.word,
        "litert": LITERT,
        "min_sdk": str(MIN_SDK),
        "compile_sdk": str(COMPILE_SDK),
    }
    code = f"src/main/kotlin/{named.folder}/{named.type}.kt"
    test = f"src/androidTest/kotlin/{named.folder}/{named.type}PhoneTest.kt"
    texts = {
        ".gitignore": load("gitignore"),
        "README.md": fill(load("README.md"), values | _readme(package, kotlin)),
        "build.gradle.kts": fill(load("build.gradle.kts"), values),
        "consumer-rules.pro": load("consumer-rules.pro"),
        "src/main/AndroidManifest.xml": load("AndroidManifest.xml"),
        code: kotlin_class(package, kotlin),
        test: fill(load("PhoneTest.kt"), values | _test(package.verdict, kotlin)),
    }
    if kotlin.labels_file:
        texts[f"src/main/assets/{kotlin.labels_file}"] = "".join(f"{e}\n" for e in kotlin.labels)
    return texts


def _readme(package: Package, kotlin: KotlinModel) -> dict[str, str]:
    model, verdict = package.model, package.verdict
    rows = [_row("in", port) for port in kotlin.inputs]
    rows += [_row("out", port) for port in kotlin.outputs]
    remark = f"{kotlin.remark}, so there is no list of them." if kotlin.remark else ""
    return {
        "weights": "int8" if model.variant == "int8" else f"{model.variant} weights",
        "verdict": paragraph(verdict_line(verdict), "> ")[2:],
        "snippet": "\n".join(f"   {line}".rstrip() for line in snippet(kotlin)),
        "ports": "\n".join(rows),
        "remark": paragraph(remark, ""),
        "half": "simulated: see `half` in `verdict.json`" if verdict.half else "not checked",
        "checked": _checked(verdict),
        "placed": _placed(package),
    }


def snippet(kotlin: KotlinModel) -> list[str]:
    """The README's call; `context` and the inputs are the app's."""
    named = kotlin.names
    variable = named.variable
    lines = [
        f"import {named.package}.{named.type}",
        "import java.util.concurrent.Executors",
        "",
        "val worker = Executors.newSingleThreadExecutor()",
        "worker.execute {",
        f"    {named.type}.create(context) {{ fallback -> println(fallback.reason) }}"
        f".use {{ {variable} ->",
        *(f"        {line}" for line in usage(kotlin)[1:-1]),
        "    }",
        "}",
    ]
    return lines


def _row(kind: str, port: KotlinPort) -> str:
    what = port.description
    if port.name != port.key:
        what += f"; in the model: `{comment(port.key).replace('`', ' ')}`"
    return f"| {kind} | `{port.name}` | `{port.array}` | {what.replace('|', chr(92) + '|')} |"


def _checked(verdict: Verdict) -> str:
    if verdict.state == "unchecked":
        return "nothing."
    how = [f"{verdict.samples} samples ({verdict.source})"]
    if verdict.adapter:
        how.append(f"on {verdict.adapter}")
    if verdict.arithmetic:
        how.append(f"in {verdict.arithmetic} arithmetic")
    return comment(f"{', '.join(how)}, with {verdict.runtime}, against the CPU.")


def _placed(package: Package) -> str:
    delegation = package.delegation
    total, refused = len(delegation.operators), len(delegation.refused)
    if not refused:
        return f"all {total} on the GPU, by {comment(delegation.source)}."
    return f"{total - refused} of {total} on the GPU, by {comment(delegation.source)}."


def _test(verdict: Verdict, kotlin: KotlinModel) -> dict[str, str]:
    tolerances = {output.name: output for output in verdict.outputs}
    allowed = []
    for port in kotlin.outputs:
        known = tolerances.get(port.key)
        if port.dtype.value == "float32":
            tolerance = known.tolerance if known else _RELATIVE
            allowed.append(f"Allowed(relative = {float(tolerance)!r}, absolute = 0.0),")
        else:
            steps = known.tolerance if known else _LSB
            absolute = float(float_literal(port.scale)[:-1]) * steps
            allowed.append(f"Allowed(relative = 0.0, absolute = {absolute!r}),")
    one = len(kotlin.outputs) == 1
    return {
        "input_fields": "\n".join(
            f"val {port.name} = {port.array}({port.elements}){_random(port)}"
            for port in kotlin.inputs
        ),
        "arguments": ", ".join(f"{port.name} = {port.name}" for port in kotlin.inputs),
        "results": ", ".join(
            _doubles("output" if one else f"output.{port.name}", port) for port in kotlin.outputs
        ),
        "allowed": "\n".join(allowed),
    }


def _random(port: KotlinPort) -> str:
    return " { random.nextFloat() * 2 - 1 }" if port.array == "FloatArray" else ""


def _doubles(name: str, port: KotlinPort) -> str:
    convert = "if (it) 1.0 else 0.0" if port.array == "BooleanArray" else "it.toDouble()"
    return f"{name}.map {{ {convert} }}.toDoubleArray()"
