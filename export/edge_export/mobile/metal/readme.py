"""README.md of a package: how to use it, and how far to trust it."""

from __future__ import annotations

import re
import textwrap

from edge_export.mobile.model import Package, Placement
from edge_export.mobile.template import fill, load
from edge_export.mobile.wording import (
    UNCHECKED_METAL,
    causes,
    cell,
    checked_words,
    compared,
    cpu_words,
    difference_table,
    first_wrong_words,
    half_words,
    one_line,
    rounds,
    sentence,
    weights,
    works_words,
)

from .ports import SwiftPort
from .source import SAVE_SHARED, Source

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
            "verdict": _verdict(package),
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


def _verdict(package: Package) -> str:
    verdict = package.verdict
    why, on_cpu = sentence(verdict.why), cpu_words(package.delegation, SAVE_SHARED)
    if verdict.right:
        head = "Checked: right, apart from rounding" if rounds(verdict) else "Checked: right"
        return f"**{head}.** {why} This was {UNCHECKED_METAL}. {on_cpu}"
    if verdict.state == "unchecked":
        return (
            f"**Unchecked.** {why} Nobody knows whether the GPU computes the right thing. {on_cpu}"
        )
    first = first_wrong_words(verdict.first_wrong) if verdict.first_wrong else ""
    found = " ".join(filter(None, map(sentence, (first, works_words(verdict)))))
    by = f"This was {UNCHECKED_METAL}."
    if not compared(verdict):
        by = "It was WebGPU that refused; the Metal delegate is other code, unchecked."
    return (
        f"**Do not ship this: {verdict.state}.** {why} {found} The package was written all the "
        f"same, because that was asked for (`--force`). {by} {on_cpu}"
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
        found, between = causes(delegation), len(delegation.transfers)
        tensors = "1 tensor goes" if between == 1 else f"{between} tensors go"
        lines = [
            (
                f"The GPU is expected to take {total - len(refused)} of {total} operators, so that "
                "by default the whole model runs on the CPU. With `.shared` it runs in "
                f"{delegation.partitions} partitions, and {tensors} from one to another. What the "
                "GPU does not take:"
            ),
            "",
            "| operator | layer | why | what would help |",
            "| --- | --- | --- | --- |",
        ]
        lines += [_refused(each, count) for each, count in found[:_MOST_REFUSED]]
        if len(found) > _MOST_REFUSED:
            lines.append(f"| {len(found) - _MOST_REFUSED} more | in `delegates.json` | | |")
    return "\n".join([*lines, "", f"This is from {one_line(delegation.source)}."])


def _refused(each: Placement, count: int) -> str:
    more = f" and {count - 1} more" if count > 1 else ""
    return (
        f"| {cell(each.op)} | {cell(each.name)}{more} | {cell(each.reason)} | {cell(each.mend)} |"
    )


def _checked(source: Source) -> str:
    verdict = source.package.verdict
    lines = [f"Checked before the export: {checked_words(verdict)}."]
    if compared(verdict):
        lines[0] += f" {verdict.on_gpu} of {verdict.operators} operators ran on the GPU."
    lines.append("")
    if verdict.outputs:
        lines += [*difference_table(verdict.outputs), ""]
    if verdict.first_wrong:
        lines += [sentence(first_wrong_words(verdict.first_wrong)), ""]
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
