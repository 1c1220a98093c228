"""The Gradle module around the class: build file, manifest, rules, test, README."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from edge_export.folder import write_files
from edge_export.mobile.model import Package, Verdict
from edge_export.mobile.template import fill, load
from edge_export.mobile.wording import (
    checked_words,
    compared,
    cpu_words,
    difference_table,
    first_wrong_words,
    half_words,
    sentence,
    weights,
    works_words,
)
from edge_quantize.graph import DType

from .golden import golden_expected, golden_field, golden_files
from .ports import KotlinPort
from .source import kotlin_class
from .text import call, comment, paragraph
from .view import LITERT, KotlinModel, kotlin_model, options_usage, usage, verdict_line

MIN_SDK = 24
COMPILE_SDK = 35
_NEEDS = (
    f"It needs `minSdk` {MIN_SDK} and `compileSdk` {COMPILE_SDK} or later, the repositories "
    "`google()` and `mavenCentral()`, and Android Gradle Plugin 8 or 9 (with 8 also the Kotlin "
    "plugin), in the versions that your project's root declares. LiteRT is compiled with a new "
    "Kotlin (2.1.6 already takes 2.2 to read): where the build stops at an incompatible version of "
    "Kotlin, raise the project's Kotlin plugin; with Android Gradle Plugin 9 that is "
    "`org.jetbrains.kotlin:kotlin-gradle-plugin` in the root's `buildscript` dependencies."
)
_PHONE = (
    "The first runs the model on the phone that is plugged in: how long it takes on the GPU in "
    "float32 and float16 and on the CPU, and whether that GPU agrees with {}. The second prints "
    "the figures. Where the phone has no GPU for it, the tests say so and are skipped."
)
_AGAINST = {
    True: "the result that the reference gave before the export (`src/androidTest/assets`)",
    False: "the phone's CPU within the tolerance that the test names",
}
_FALLBACK = (
    "`create` asks for the GPU alone, so that no part of the model can run on the CPU unseen. If "
    "the GPU does not take it, the whole model runs on the CPU and you are told four times: "
    "`accelerator` is `CPU`, `fallback.reason` says why, the listener that you gave to `create` is "
    "called, and the log has a warning. `{0}.Options(use = {0}.Use.GPU)` throws instead. Options "
    "are the second argument:"
)
_LABELS = (
    "`labels` are the names of the classes, in the order of the output; `top(output, count)` gives "
    "those with the highest scores, each with `name`, `score` and `index`."
)
# What `edge_export.mobile.check` allows where a verdict holds no tolerance (--skip-check).
_RELATIVE = 1e-3
_LSB = 1.0
# A step of a quantized output is a difference of two products that float32 has rounded.
_ROUNDING = 1.0001


def write_android(package: Package, directory: Path) -> tuple[Path, ...]:
    """Writes a Gradle library module into `directory` and returns what it wrote, relative to it,
    sorted.

    The same package gives the same bytes. Raises MobileError for inputs and outputs that LiteRT's
    Kotlin API cannot write or read (nothing is written then), and OSError.
    """
    kotlin = kotlin_model(package.model)
    texts = module_texts(package, kotlin)
    contents = {name: text.encode() for name, text in texts.items()}
    contents[f"src/main/assets/{kotlin.names.word}.tflite"] = package.model.content
    if package.golden is not None:
        folder = f"src/androidTest/assets/{kotlin.names.word}"
        contents |= {
            f"{folder}/{name}": content
            for name, content in golden_files(package.golden, kotlin.inputs, kotlin.outputs).items()
        }
    return write_files(directory, contents)


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
        "test_tag": f"{named.type[:14]}PhoneTest",
    }
    code = f"src/main/kotlin/{named.folder}/{named.type}.kt"
    test = f"src/androidTest/kotlin/{named.folder}/{named.type}PhoneTest.kt"
    texts = {
        ".gitignore": load("android", "gitignore"),
        "README.md": fill(load("android", "README.md"), values | _readme(package, kotlin)),
        "build.gradle.kts": fill(load("android", "build.gradle.kts"), values),
        "consumer-rules.pro": load("android", "consumer-rules.pro"),
        "src/main/AndroidManifest.xml": load("android", "AndroidManifest.xml"),
        code: kotlin_class(package, kotlin),
        test: fill(load("android", "PhoneTest.kt"), _test(package, kotlin, values)),
    }
    if kotlin.labels_file:
        texts[f"src/main/assets/{kotlin.labels_file}"] = "".join(f"{e}\n" for e in kotlin.labels)
    return texts


def _readme(package: Package, kotlin: KotlinModel) -> dict[str, str]:
    verdict = package.verdict
    rows = [_row("in", port) for port in kotlin.inputs]
    rows += [_row("out", port) for port in kotlin.outputs]
    remark = f"{kotlin.remark}, so there is no list of them." if kotlin.remark else ""
    return {
        "intro": paragraph(
            f'`{kotlin.names.type}` runs the model "{kotlin.names.shown}" '
            f"({weights(package.model)}) on the phone's GPU with LiteRT {LITERT}. Where that "
            "cannot be, it runs on the CPU and says why."
        ),
        "verdict": paragraph(verdict_line(package), "> ")[2:],
        "snippet": "\n".join(snippet(kotlin)),
        "ports": "\n".join(rows),
        "labels": paragraph(_LABELS) if kotlin.labels else "",
        "remark": paragraph(remark),
        "fallback": paragraph(_FALLBACK.format(kotlin.names.type)),
        "options": "\n".join(options_usage(kotlin)),
        "as_checked": ", as checked" if compared(verdict) else "",
        "phone": paragraph(_PHONE.format(_AGAINST[package.golden is not None])),
        "needs": paragraph(_NEEDS),
        "half": comment(half_words(verdict)),
        "checked": _checked(verdict),
        "found": _found(verdict),
        "differences": "\n".join(difference_table(verdict.outputs)),
        "placed": _placed(package),
    }


def snippet(kotlin: KotlinModel) -> list[str]:
    """The README's call; `context` and the inputs are the app's."""
    named = kotlin.names
    return [
        f"import {named.package}.{named.type}",
        "import java.util.concurrent.Executors",
        "",
        "val worker = Executors.newSingleThreadExecutor()",
        "worker.execute {",
        f"    val {named.variable} = {named.type}.create(context) {{ fallback ->",
        "        println(fallback.reason)",
        "    }",
        f"    {named.variable}.use {{",
        *(f"        {line}" for line in usage(kotlin)[1:-1]),
        "    }",
        "}",
    ]


def _row(kind: str, port: KotlinPort) -> str:
    what = port.description
    if port.name != port.key:
        what += f"; in the model: `{comment(port.key).replace('`', ' ')}`"
    return f"| {kind} | `{port.name}` | `{port.array}` | {what.replace('|', chr(92) + '|')} |"


def _checked(verdict: Verdict) -> str:
    said = comment(checked_words(verdict))
    return paragraph(f"Checked before the export (`verdict.json`): {said}.", "- ", "  ")


def _found(verdict: Verdict) -> str:
    """What the check found wrong, and what works; a list."""
    found = [] if verdict.first_wrong is None else [first_wrong_words(verdict.first_wrong)]
    found += [f"The backend warned: {each}" for each in verdict.warnings]
    refused = "The rules refuse" if verdict.state == "unchecked" else "Refused"
    found += [f"{refused}: {each}" for each in verdict.problems]
    found.append(works_words(verdict))
    return "\n".join(paragraph(comment(sentence(each)), "- ", "  ") for each in found if each)


def _placed(package: Package) -> str:
    delegation = package.delegation
    total, refused = len(delegation.counted), len(delegation.refused)
    said = f"all {total} operators" if not refused else f"{total - refused} of {total} operators"
    takes = "takes" if delegation.observed else "is expected to take"
    text = (
        f"Where each operator runs (`delegates.json`): the GPU {takes} {said}, by "
        f"{comment(delegation.source)}."
    )
    if not package.verdict.problems:  # else they say so
        text = f"{text} {comment(cpu_words(delegation))}"
    return paragraph(text, "- ", "  ")


def _test(package: Package, kotlin: KotlinModel, common: dict[str, str]) -> dict[str, str]:
    one = len(kotlin.outputs) == 1
    values = {
        "input_fields": "\n".join(
            f"val {port.name} = {port.array}({port.elements}){_random(port)}"
            for port in kotlin.inputs
        ),
        "arguments": "\n".join(
            call("model.run", [f"{port.name} = {port.name}" for port in kotlin.inputs])
        ),
        "output_type": kotlin.outputs[0].array if one else f"{kotlin.names.type}.Output",
        "results": "\n".join(
            _doubles("output" if one else f"output.{port.name}", port) for port in kotlin.outputs
        ),
        "allowed": "\n".join(_allowed(package, kotlin.outputs)),
        "golden_class": "",
        "golden_imports": "",
        "difference": load("android", "difference_cpu.kt"),
        "samples": "const val SAMPLES = 8",
    }
    if package.golden is not None:
        values |= {
            "golden_fields": "\n".join(map(golden_field, kotlin.inputs, count())),
            "golden_expected": "\n".join(map(golden_expected, kotlin.outputs, count())),
        }
        values |= {
            "golden_class": fill(load("android", "golden_class.kt"), common | values),
            "golden_imports": "import java.nio.ByteBuffer\nimport java.nio.ByteOrder",
            "difference": load("android", "difference_golden.kt"),
            "samples": "",
        }
    return common | values


def _allowed(package: Package, outputs: Sequence[KotlinPort]) -> list[str]:
    golden = package.golden
    known = {each.name: each.tolerance for each in package.verdict.outputs}
    lines = []
    for index, port in enumerate(outputs):
        relative, absolute = 0.0, 0.0
        if golden is not None:
            absolute = float(golden.tolerances[index])
        elif port.dtype is DType.FLOAT32:
            relative = float(known.get(port.key, _RELATIVE))
        else:
            absolute = port.scale * known.get(port.key, _LSB) * _ROUNDING
        lines.append(f"Allowed(relative = {relative!r}, absolute = {absolute!r}),")
    return lines


def _random(port: KotlinPort) -> str:
    if port.array != "FloatArray":
        return ""
    low, high = port.limits if port.quantization else (-1.0, 1.0)
    return f" {{ random.nextDouble({low!r}, {high!r}).toFloat() }}"


def _doubles(name: str, port: KotlinPort) -> str:
    convert = "if (it) 1.0 else 0.0" if port.array == "BooleanArray" else "it.toDouble()"
    return f"{name}.map {{ {convert} }}.toDoubleArray(),"
