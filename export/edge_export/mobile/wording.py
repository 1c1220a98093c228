"""What every platform's package says of the check, for people."""

from __future__ import annotations

from edge_quantize.half import HalfReport

from .model import MobileModel, Variant, Verdict

UNCHECKED_METAL = "checked on WebGPU; the Metal delegate is other code, unchecked"


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


def checked_words(verdict: Verdict) -> str:
    """What was compared, on what and by what; for the middle of a sentence."""
    if verdict.state == "unchecked" or not verdict.samples:
        return "nothing"
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
