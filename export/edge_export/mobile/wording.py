"""What every platform's package says of the check, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge_quantize.half import HalfReport

from .model import (
    Delegation,
    FirstWrong,
    MobileModel,
    OutputDifference,
    Placement,
    Variant,
    Verdict,
)

UNCHECKED_METAL = "checked on WebGPU; the Metal delegate is other code, unchecked"
_MOST_NAMED = 3


def one_line(text: str) -> str:
    """`text` on one line, whatever names and messages bring in."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def sentence(text: str) -> str:
    """`text`, on one line, with a capital and a full stop."""
    line = one_line(text)
    if not line:
        return ""
    return line[0].upper() + line[1:] + ("" if line[-1] in ".!?" else ".")


def weights(model: MobileModel) -> str:
    """What is stored, in words."""
    return "int8" if model.variant is Variant.INT8 else f"{model.variant} weights"


def cell(words: str) -> str:
    """Words that cannot end a cell of a table or begin code."""
    return one_line(words).replace("|", "\\|").replace("`", "'")


def compared(verdict: Verdict) -> bool:
    """Whether the GPU ran the model, so that there was something to compare."""
    return verdict.state != "unchecked" and verdict.samples > 0


def rounds(verdict: Verdict) -> bool:
    """Whether it is right though outputs are further off than allowed, through rounding alone."""
    return verdict.right and any(each.rounding for each in verdict.outputs)


def checked_words(verdict: Verdict) -> str:
    """What was compared, on what and by what; for the middle of a sentence."""
    if verdict.state == "unchecked":
        return "nothing"
    if not compared(verdict):
        by = one_line(", ".join(filter(None, [verdict.runtime, verdict.adapter])))
        return f"nothing was compared, because the GPU backend ({by}) did not run the model"
    parts = [f"{verdict.samples} sample{'s' * (verdict.samples != 1)} ({verdict.source})"]
    if verdict.adapter:
        parts.append(f"on {verdict.adapter}")
    if verdict.arithmetic:
        parts.append(f"in {verdict.arithmetic} arithmetic")
    return one_line(", ".join([*parts, f"with {verdict.runtime}"]))


def half_words(verdict: Verdict) -> str:
    """What is known of float16 arithmetic on the model; for the middle of a sentence."""
    report = verdict.half
    if not isinstance(report, HalfReport):
        return "not simulated before the export"
    first = report.first_overflow
    if first is not None or not report.finite:
        where = f"layer {one_line(first.name)}" if first is not None else "an output"
        return f"do not take it: {where} passes 65504, the largest float16 (modelled)"
    lost = max((output.relative for output in report.outputs), default=0.0)
    return f"outputs are then off by up to {lost:.1e} of their largest value (modelled)"


def first_wrong_words(found: FirstWrong, names: Mapping[str, str] | None = None) -> str:
    """`names` are short ones by layer name."""
    if found.relative is not None:
        apart = f"{found.relative:.2g} relative"
    else:
        apart = f"{found.max_abs:g} LSB"
    how = f", off by {apart}" if found.max_abs else ""
    name = one_line((names or {}).get(found.name, found.name))
    given = "given right inputs" if found.alone else "with the layers before it; alone it is right"
    return f"First wrong layer: {found.index} {found.op} '{name}'{how}, {given}"


def works_words(verdict: Verdict) -> str:
    """The variant that is right, for a sentence; empty where none was found."""
    if verdict.works is None:
        return ""
    return f"the {verdict.works} variant is right: export it with --precision {verdict.works}"


def causes(delegation: Delegation) -> list[tuple[Placement, int]]:
    """The operators that the GPU does not take, one of each kind with how many there are; those
    refused for themselves first."""
    found: dict[tuple[str, ...], list[Placement]] = {}
    for each in sorted(delegation.refused, key=lambda each: not each.alone):
        found.setdefault((each.op, each.reason, each.mend), []).append(each)
    return [(same[0], len(same)) for same in found.values()]


def cpu_words(delegation: Delegation, save: str = "") -> str:
    """That the whole model runs on the CPU, why, and what would change that: sentences, none where
    the GPU takes all of it. `save` names an exception."""
    found = causes(delegation)
    if not found:
        return ""
    own = [each for each in found if each[0].alone] or found
    will = "will always" if delegation.observed else "is expected always to"
    text = [f"On a phone the whole model {will} run on the CPU{save}."]
    for each, count in own[:_MOST_NAMED]:
        more = f" and {count - 1} more" if count > 1 else ""
        why = one_line(each.reason or each.words)
        mend = f"; what would help: {one_line(each.mend)}" if each.mend else ""
        text.append(sentence(f"{each.op} '{one_line(each.name)}'{more}: {why}{mend}"))
    if len(own) > _MOST_NAMED:
        text.append(f"{len(own) - _MOST_NAMED} more kinds are in `delegates.json`.")
    return " ".join(text)


def difference_table(outputs: Sequence[OutputDifference]) -> list[str]:
    """GPU against CPU, the lines of a table in Markdown; none without outputs."""
    if not outputs:
        return []
    return [
        "| output | greatest difference to the CPU | RMS | relative | allowed | same class | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *map(_difference, outputs),
    ]


def _difference(each: OutputDifference) -> str:
    relative = "" if each.relative is None else f"{each.relative:.2g}"
    agreement = "" if each.agreement is None else f"{100 * each.agreement:.4g} %"
    unit = " LSB" if each.relative is None else ""
    judged = "within" if each.within else "rounding alone" if each.rounding else "wrong"
    return (
        f"| `{cell(each.name)}` | {each.max_abs:.3g}{unit} | {each.rms:.3g}{unit} | {relative} | "
        f"{each.tolerance:.3g}{unit} | {agreement} | {judged} |"
    )
