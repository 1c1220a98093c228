"""A package for a phone's GPU on the console and as JSON: is the GPU's result right, and where does
each operator run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from edge_export.mobile.model import FirstWrong, OutputDifference, Package, Verdict
from edge_export.mobile.verdict_file import verdict_json

from .tables import percent, size, table

_WORDS = {
    "right": "right",
    "wrong": "WRONG",
    "refused": "REFUSED",
    "unchecked": "UNCHECKED",
}


def package_tables(package: Package) -> Iterator[Table]:
    """How far the GPU's outputs are from the CPU's; nothing where nothing was compared."""
    verdict = package.verdict
    if verdict.outputs:
        yield table(
            f"{package.model.name}, {package.model.variant}: GPU against CPU",
            ("~output", ">max", ">rms", ">relative", ">allowed", ">same class", "<"),
            [_row(each) for each in verdict.outputs],
        )


def _row(each: OutputDifference) -> tuple[object, ...]:
    integers = each.relative is None
    return (
        each.name,
        f"{each.max_abs:g} LSB" if integers else f"{each.max_abs:.2g}",
        f"{each.rms:.2g}",
        None if each.relative is None else f"{each.relative:.2g}",
        f"{each.tolerance:g} LSB" if integers else f"{each.tolerance:g}",
        None if each.agreement is None else f"{percent(each.agreement, 1)}%",
        "" if each.within else "wrong",
    )


def package_lines(package: Package) -> Iterator[str]:
    """The verdict first, then what it rests on; a sentence or two a line."""
    model, verdict = package.model, package.verdict
    yield (
        f"{model.name} for {package.target}, {model.variant}, {size(len(model.content))}: "
        f"{_WORDS[verdict.state]}: {verdict.why}"
    )
    yield from (f"- not taken by the GPU: {problem}" for problem in verdict.problems)
    if verdict.first_wrong is not None:
        yield first_wrong_line(verdict.first_wrong)
    yield from (f"The backend's log: {warning}" for warning in verdict.warnings)
    yield from _ran(verdict)
    yield from _drift(package)
    yield from (f"Note: {note}." for note in verdict.notes)
    if verdict.state != "unchecked":
        yield from (f"Not checked here: {limit}." for limit in verdict.limits)


def first_wrong_line(found: FirstWrong) -> str:
    if found.relative is not None:
        apart = f"{found.relative:.2g} relative"
    else:
        apart = f"{found.max_abs:g} LSB"
    how = f", off by {apart}" if found.max_abs else ""
    return f"First wrong layer: {found.index} {found.op} '{found.name}'{how}, given right inputs"


def _ran(verdict: Verdict) -> Iterator[str]:
    if not verdict.samples:
        return
    yield (
        f"{verdict.on_gpu} of {verdict.operators} operators ran on the GPU ({verdict.adapter}, "
        f"{verdict.arithmetic}, {verdict.runtime}), over {verdict.samples} samples: "
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
            f"Output '{each.name}' of the {package.model.variant} variant is at most {apart} from "
            f"the model's as given{same} (both on the CPU)"
        )


def package_json(package: Package) -> dict[str, Any]:
    return verdict_json(package.model, package.target, package.verdict)
