"""README.md of a package: how to use it, and how far to trust it."""

from __future__ import annotations

import re
import textwrap

from edge_export.mobile.model import OutputDifference, Verdict
from edge_export.mobile.template import fill, load
from edge_export.mobile.wording import (
    UNCHECKED_METAL,
    checked_words,
    half_words,
    one_line,
    sentence,
    weights,
)

from .ports import SwiftPort
from .source import Source

_UNBUILT = (
    "- The Swift here is made from templates that were compiled and run on Linux with TensorFlow "
    "Lite's C library and no Metal; nobody has built it with Xcode."
)
_MOST_REFUSED = 20


def readme(source: Source) -> str:
    """The README, in Markdown."""
    package, verdict = source.package, source.package.verdict
    model = package.model
    quantized = any(port.quantized for port in (*source.inputs, *source.outputs))
    text = fill(
        load("metal", "README.md"),
        {
            **source.marks,
            "model": one_line(model.name).replace("`", "'"),
            "weights": weights(model),
            "verdict": _verdict(verdict),
            "half": cell(half_words(verdict)),
            "call": _call(source),
            "tables": _tables(source),
            "quantization": "Give and take real numbers: the class quantizes. "
            if quantized
            else "",
            "delegation": _delegation(source),
            "goldenNote": ", and compare the GPU's result with the CPU's" if package.golden else "",
            "checked": _checked(source),
        },
    )
    return wrapped(text)


def _verdict(verdict: Verdict) -> str:
    why = sentence(verdict.why)
    if verdict.right:
        return f"**Checked: right.** {why} This was {UNCHECKED_METAL}."
    if verdict.state == "unchecked":
        return f"**Unchecked.** {why} Nobody knows whether the GPU computes the right thing."
    works = f" The {verdict.works} variant is right." if verdict.works else ""
    return (
        f"**Do not ship this: {verdict.state}.** {why}{works} The package was written all the "
        f"same, because that was asked for. This was {UNCHECKED_METAL}."
    )


def _call(source: Source) -> str:
    arguments = ", ".join(f"{port.name}: {port.name}" for port in source.inputs)
    first = source.outputs[0]
    lines = [
        f"let output = try model.run({source.names.type}.Input({arguments}))",
        f"print(output.{first.name})    // {first.count} of {first.type}",
    ]
    if len(lines[0]) > 100:
        given = ",\n".join(f"        {port.name}: {port.name}" for port in source.inputs)
        lines[0] = f"let output = try model.run(\n    {source.names.type}.Input(\n{given}))"
    if source.labelled:
        lines.append("print(output.top(3))    // labels and scores, the best first")
    return "\n".join(lines)


def _tables(source: Source) -> str:
    lines = ["| | name | type | shape | in the model |", "| --- | --- | --- | --- | --- |"]
    for kind, ports in (("input", source.inputs), ("output", source.outputs)):
        lines += [_row(kind, port) for port in ports]
    return "\n".join(lines)


def _row(kind: str, port: SwiftPort) -> str:
    shape = "x".join(map(str, port.port.shape)) or "one value"
    stored = f"`{cell(port.port.name)}`, {port.port.dtype.value}"
    if port.quantized:
        stored += f", scale {port.scale}, zero point {port.zero_point}"
    return f"| {kind} | `{port.name}` | `[{port.type}]` | {shape} | {stored} |"


def _delegation(source: Source) -> str:
    delegation = source.package.delegation
    total, refused = len(delegation.counted), delegation.refused
    if not refused:
        all_of = "The only operator is" if total == 1 else f"All {total} operators are"
        lines = [f"{all_of} expected to run on the GPU."]
    else:
        partitions = delegation.partitions
        lines = [
            (
                f"{total - len(refused)} of {total} operators are expected to run on the GPU, in "
                f"{partitions} partitions; {len(delegation.transfers)} tensors go from one to the "
                "other. On the CPU:"
            ),
            "",
            "| operator | layer | why |",
            "| --- | --- | --- |",
        ]
        lines += [
            f"| {cell(each.op)} | {cell(each.name)} | {cell(each.reason)} |"
            for each in refused[:_MOST_REFUSED]
        ]
        if len(refused) > _MOST_REFUSED:
            lines.append(f"| {len(refused) - _MOST_REFUSED} more | in `delegates.json` | |")
    return "\n".join([*lines, "", f"This is from {sentence(delegation.source)}"])


def _checked(source: Source) -> str:
    verdict = source.package.verdict
    lines = [f"Checked before the export: {checked_words(verdict)}."]
    if verdict.adapter:
        lines[0] += f" {verdict.on_gpu} of {verdict.operators} operators ran on the GPU."
    lines.append("")
    if verdict.outputs:
        lines += [
            "| output | greatest difference to the CPU | RMS | relative | allowed | same class |",
            "| --- | --- | --- | --- | --- | --- |",
            *(_difference(each) for each in verdict.outputs),
            "",
        ]
    for title, said in (("Remarks", verdict.notes), ("The backend warned", verdict.warnings)):
        if said:
            lines += [f"{title}:", "", *(f"- {sentence(each)}" for each in said), ""]
    if verdict.problems:
        title = "The rules refuse" if verdict.state == "unchecked" else "Refused for"
        lines += [f"{title}:", "", *(f"- {sentence(each)}" for each in verdict.problems), ""]
    lines += ["What this leaves open:", ""]
    lines += [f"- {sentence(limit)}" for limit in verdict.limits]
    lines += [
        _UNBUILT,
        "- Only a phone shows which operators its delegate takes, and how long an inference takes.",
        "",
        "All of it is in `verdict.json` and `delegates.json`.",
    ]
    return "\n".join(lines)


def _difference(each: OutputDifference) -> str:
    relative = "" if each.relative is None else f"{each.relative:.2g}"
    agreement = "" if each.agreement is None else f"{100 * each.agreement:.4g} %"
    unit = " LSB" if each.relative is None else ""
    return (
        f"| `{cell(each.name)}` | {each.max_abs:.3g}{unit} | {each.rms:.3g}{unit} | {relative} | "
        f"{each.tolerance:.3g}{unit} | {agreement} |"
    )


def wrapped(markdown: str) -> str:
    """Paragraphs and list entries anew at 100 columns; code, tables and headings as they are."""
    blocks = []
    for block in re.split(r"(```.*?^```$)", markdown, flags=re.DOTALL | re.MULTILINE):
        if block.startswith("```"):
            blocks.append(block)
            continue
        lines = re.sub(r"\n(?=- )", "\n\n", block).split("\n\n")
        anew = [
            each if each.lstrip("\n").startswith(("|", "#")) else _paragraph(each) for each in lines
        ]
        blocks.append(re.sub(r"(?m)(^- .*(?:\n  .*)*)\n\n(?=- )", r"\1\n", "\n\n".join(anew)))
    return re.sub(r"\n{3,}", "\n\n", "".join(blocks))


def _paragraph(text: str) -> str:
    start = text[: len(text) - len(text.lstrip("\n"))]
    end = text[len(text.rstrip("\n")) :] if text.strip() else ""
    hang = "  " if text.strip().startswith("- ") else ""
    flat = " ".join(text.split())
    lines = textwrap.wrap(
        flat, 100, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False
    )
    return start + "\n".join(lines) + end


def cell(words: str) -> str:
    """Words that cannot end a cell of a table or begin code."""
    return one_line(words).replace("|", "\\|").replace("`", "'")
