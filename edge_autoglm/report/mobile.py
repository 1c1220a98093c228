"""A package for a phone's GPU on the console and as JSON: is the GPU's result right, and where does
each operator run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from edge_export.mobile.delegation import delegates_json, refusals
from edge_export.mobile.model import OutputDifference, Package, Verdict
from edge_export.mobile.verdict_file import verdict_json
from edge_export.mobile.wording import first_wrong_words
from edge_quantize.half import HalfReport, half_lines
from edge_quantize.ingest.tflite import read_tflite

from .delegates import delegates_lines, delegates_table
from .half import half_table
from .summary import short_names
from .tables import percent, plural, size, table

_WORDS = {
    "right": "right",
    "wrong": "WRONG",
    "refused": "REFUSED",
    "unchecked": "UNCHECKED",
}


def package_report(package: Package) -> Iterator[Table | str]:
    """The verdict first, then what it rests on and where each operator runs: tables and lines. A
    line with a line break in it is wrapped already."""
    model, verdict = package.model, package.verdict
    yield (
        f"{model.name} for {package.target}, {model.variant}, {size(len(model.content))}: "
        f"{_WORDS[verdict.state]}: {verdict.why}"
    )
    if verdict.first_wrong is not None:
        names = short_names(read_tflite(model.content))
        yield first_wrong_words(verdict.first_wrong, names)
    elif any(not each.good for each in verdict.outputs):
        yield "No layer is named: alone each is right, or the model cannot be cut apart"
    yield from (f"The backend's log: {warning}" for warning in verdict.warnings)
    if verdict.outputs:
        yield table(
            "GPU against CPU",
            ("~output", ">max", ">rms", ">relative", ">allowed", ">same class", "<"),
            [_row(each) for each in verdict.outputs],
        )
    yield from _ran(verdict)
    yield from _drift(package)
    yield from (f"Note: {note}." for note in verdict.notes)
    if isinstance(verdict.half, HalfReport):
        yield from half_lines(verdict.half)
        if verdict.half.first_overflow is not None:
            yield half_table(verdict.half)
    if verdict.samples:
        yield f"Limits: {'; '.join(verdict.limits)}."
    yield delegates_table(package.delegation, f"Where {model.name} runs")
    named = refusals(package.delegation)  # in the lines below
    for problem in verdict.problems:
        if problem not in named:
            yield f"Not taken by the GPU backend that checks here: {problem}"
    yield from delegates_lines(package.delegation)


def _row(each: OutputDifference) -> tuple[object, ...]:
    integers = each.relative is None
    return (
        each.name,
        f"{each.max_abs:g} LSB" if integers else f"{each.max_abs:.2g}",
        f"{each.rms:.2g}",
        None if each.relative is None else f"{each.relative:.2g}",
        f"{each.tolerance:g} LSB" if integers else f"{each.tolerance:g}",
        None if each.agreement is None else f"{percent(each.agreement, 1)}%",
        "" if each.within else "rounding" if each.rounding else "wrong",
    )


def _ran(verdict: Verdict) -> Iterator[str]:
    if not verdict.samples:
        return
    yield (
        f"What ran: {verdict.on_gpu} of {plural(verdict.operators, 'operator')} on the GPU "
        f"({verdict.adapter}, {verdict.arithmetic}, {verdict.runtime}), "
        f"{plural(verdict.samples, 'sample')}: "
        f"{verdict.source}"
    )


def _drift(package: Package) -> Iterator[str]:
    for each in package.verdict.drift:
        apart = f"{each.max_abs:.2g}"
        if each.relative is not None:
            apart += f" ({each.relative:.2g} relative)"
        same = ""
        if each.agreement is not None:
            same = f", the same class in {percent(each.agreement, 1)}% of samples"
        yield (
            f"Output '{each.name}' of the {package.model.variant} variant, on the CPU, is at most "
            f"{apart} from that of the model as given{same}"
        )


def package_json(package: Package) -> dict[str, Any]:
    """verdict.json's content, with that of delegates.json in it."""
    verdict = verdict_json(package.model, package.target, package.verdict)
    return verdict | {"delegates": delegates_json(package)}
