"""A model file -> the variant that a phone's GPU computes rightly -> the folder that an app takes.

DIR/README.md, the module or package of the target, verdict.json, delegates.json
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from edge_export.errors import DelegationError, ExportError, MobileError
from edge_export.folder import refuse_foreign, staged
from edge_quantize.data import Samples
from edge_quantize.errors import GpuError, QuantizeError
from edge_quantize.gpu import Driver, find_driver
from edge_quantize.half import HalfReport
from edge_quantize.ingest.tflite import read_tflite

from .check import Checked, Progress, check, unsaid
from .delegation import backend_log, delegates_json, observed, predict, refusals
from .drift import drift
from .golden import blind, golden, half_report
from .model import Delegation, MobileModel, Package, Target, Variant, Verdict
from .probe import Probe, from_samples, pseudo_random
from .shapes import Shapes, with_shapes
from .source import mobile_model, signatures
from .taken import the_cpus
from .variants import alternatives, default_variant, make
from .verdict_file import VERDICT_FILE, verdict_text
from .wording import UNCHECKED_METAL

DELEGATES_FILE = "delegates.json"
KEPT = ("Frameworks",)  # where an app developer puts TensorFlow Lite's, see the package's README
SAMPLES = 16  # pseudo-random ones, where nobody gives any
_BLIND = (
    "every output value of every sample is at an end of its range, so that neither this check nor "
    "the package's own test shows a small error: give samples of real use (--data)"
)
# Target -> (module, function) that writes its files. A new target is one row.
WRITERS: Mapping[Target, tuple[str, str]] = {
    Target.ANDROID_GPU: ("edge_export.mobile.android", "write_android"),
    Target.IOS_METAL: ("edge_export.mobile.metal", "write_ios"),
}


class UnfitError(MobileError):
    """The GPU takes not all of the model, or computes it wrongly. `package` is what would have been
    written, with the verdict."""

    def __init__(self, package: Package) -> None:
        verdict = package.verdict
        super().__init__(
            f"{package.model.name} ({package.model.variant}) for {package.target}: "
            f"{verdict.state}: {verdict.why}",
            verdict.problems,
        )
        self.package = package


@dataclass(frozen=True)
class Wishes:
    """What a user may ask of a package.

    `precision`: the variant, None for the default. `samples`: what GPU and CPU are compared on,
    loaded for the model as it is given; None for `count` pseudo-random ones. `labels`: class names
    of the output. `shapes`: sizes of inputs that the model leaves open, by the input's name.
    `check`: without it nothing is run, and the package says so. `remarks`: what is to be said of
    the model file, such as what its conversion changed; they become notes of the verdict.
    """

    precision: Variant | None = None
    samples: Samples | None = None
    count: int = SAMPLES
    labels: tuple[str, ...] = ()
    shapes: Shapes = field(default_factory=dict)
    check: bool = True
    remarks: tuple[str, ...] = ()


def prepare(
    content: bytes,
    name: str,
    target: Target,
    wishes: Wishes | None = None,
    *,
    driver: Driver | None = None,
    progress: Progress = unsaid,
) -> Package:
    """The package of the model file `content`, to be looked at and then written.

    Raises GpuUnavailableError where a check is asked for and there is no driver, MobileError for a
    variant or shapes that cannot be, ModelFileError, UnsupportedModelError, InputDataError,
    ReferenceRuntimeError.
    """
    wishes = wishes or Wishes()
    given = source_model(content, name, wishes)
    if wishes.check:
        driver = driver or find_driver()  # before any work is done
    made = make(given, wishes.precision or default_variant(given), wishes.samples)
    model, probe = made.model, _probe(given, wishes)
    half, runs = None, None
    delegation = predict(model.content, target)
    if not wishes.check:
        verdict = _unchecked(model, target, delegation)
    else:
        checked = check(model, probe, driver=driver, progress=progress)
        runs = checked.runs
        delegation = _delegation(delegation, model, target, checked, driver)
        verdict = _on_target(checked.verdict, target, delegation)
        if not verdict.right:
            works = _works(given, model, target, probe, driver, progress)
            verdict = replace(verdict, works=works)
    if runs is not None:
        progress(0, 1, "simulating float16 arithmetic")
        half = half_report(model, probe, runs.cpu)
        verdict = replace(verdict, drift=drift(given, model, probe, runs.cpu), half=half)
        if blind(read_tflite(model.content), runs.cpu):
            verdict = replace(verdict, notes=(*verdict.notes, _BLIND))
    verdict = replace(
        verdict,
        notes=(*wishes.remarks, *made.notes, *verdict.notes, *_half_notes(half)),
        limits=_limits(target, model, verdict, driver),
    )
    answers = () if runs is None else runs.cpu
    expected = golden(model, probe, verdict.outputs, answers)
    return Package(target, model, delegation, verdict, expected)


def source_model(content: bytes, name: str, wishes: Wishes | None = None) -> MobileModel:
    """The model as it was given, its open shapes fixed. Raises ModelFileError, MobileError."""
    wishes = wishes or Wishes()
    given = mobile_model(content, name, labels=wishes.labels)
    return with_shapes(given, read_tflite(given.content), wishes.shapes)


def write_package(package: Package, directory: Path, *, force: bool = False) -> tuple[Path, ...]:
    """Writes the folder, whole or not at all, and gives its files, relative to it, sorted.

    Raises UnfitError for a package that is wrong or refused unless `force` is set, ExportError for
    a folder that cannot be written or is somebody's.
    """
    verdict = package.verdict
    if verdict.state not in ("right", "unchecked") and not force:
        raise UnfitError(package)
    module, function = WRITERS[package.target]
    write: Callable[[Package, Path], tuple[Path, ...]] = getattr(
        importlib.import_module(module), function
    )
    with staged(directory, VERDICT_FILE, KEPT) as staging:
        write(package, staging)
        (staging / DELEGATES_FILE).write_text(
            json.dumps(delegates_json(package), indent=1, ensure_ascii=False) + "\n",
            encoding="utf-8",
            newline="\n",
        )
        files = {
            path.relative_to(staging).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(staging.rglob("*"))
            if path.is_file()
        }
        text = verdict_text(package.model, package.target, verdict, files)
        (staging / VERDICT_FILE).write_text(text, encoding="utf-8", newline="\n")
        return tuple(sorted(map(Path, (*files, VERDICT_FILE))))


def export_mobile(
    content: bytes,
    name: str,
    target: Target,
    directory: Path,
    wishes: Wishes | None = None,
    *,
    force: bool = False,
    driver: Driver | None = None,
    progress: Progress = unsaid,
) -> Package:
    """`prepare` and `write_package` in one; raises what they raise."""
    refuse_foreign(directory, VERDICT_FILE, KEPT)
    package = prepare(content, name, target, wishes, driver=driver, progress=progress)
    write_package(package, directory, force=force)
    return package


def _probe(given: MobileModel, wishes: Wishes) -> Probe:
    graph = read_tflite(given.content)
    if wishes.samples is not None:
        return from_samples(graph, wishes.samples)
    return pseudo_random(graph, wishes.count)


def _delegation(
    predicted: Delegation,
    model: MobileModel,
    target: Target,
    checked: Checked,
    driver: Driver | None,
) -> Delegation:
    """By the backend's own log, where it is the target's; by the target's rules else."""
    if target is not Target.ANDROID_GPU:
        return predicted
    try:
        return observed(
            read_tflite(model.content), checked.log, partial(backend_log, driver=driver)
        )
    except (DelegationError, GpuError) as error:
        return replace(predicted, notes=(*predicted.notes, f"by the rules alone: {error}"))


def _on_target(verdict: Verdict, target: Target, delegation: Delegation) -> Verdict:
    """The verdict of the backend that ran here, beside what the target's own takes: what a phone's
    CPU would compute in part is not its GPU's result, however right it was here. Each operator that
    is refused is a line of `problems`."""
    lines = tuple(refusals(delegation))
    foreign = target is Target.IOS_METAL  # what ran here is not the target's backend
    if verdict.state == "refused":
        why = verdict.why
        if foreign and verdict.problems and not lines:
            why += "; the Metal delegate would by its rules, which nothing here can check"
        # What the rules do not explain stays in the backend's own words.
        unexplained = () if delegation.observed and lines else verdict.problems
        return replace(verdict, why=why, problems=(*lines, *unexplained))
    if not (verdict.right and foreign and lines):
        return verdict
    return replace(
        verdict,
        state="refused",
        why=f"{_by_rules(target, delegation)}; right on WebGPU, which does: {verdict.why}",
        problems=lines,
    )


def _by_rules(target: Target, delegation: Delegation) -> str:
    """What the target's rules refuse, and how much of the model would then be the CPU's."""
    which = "Metal delegate" if target is Target.IOS_METAL else "GPU"
    kinds = ", ".join(sorted({each.op for each in delegation.refused if each.alone}))
    share = the_cpus(len(delegation.refused), len(delegation.counted))
    return f"by its rules the {which} does not take {kinds} ({share})"


def _works(
    given: MobileModel,
    wrong: MobileModel,
    target: Target,
    probe: Probe,
    driver: Driver | None,
    progress: Progress,
) -> Variant | None:
    """The first other variant that is right, made and run like the one that is not."""
    for variant in alternatives(given, wrong.variant):
        try:
            other = make(given, variant).model
            if other.content == wrong.content:
                continue
            if target is Target.IOS_METAL and refusals(predict(other.content, target)):
                continue
            if check(other, probe, driver=driver, progress=progress).verdict.right:
                return other.variant
        except (QuantizeError, ExportError):
            continue  # there is no such variant, or nothing runs it
    return None


def _half_notes(half: HalfReport | None) -> tuple[str, ...]:
    """What an app should do about float16 arithmetic, where it must do something."""
    if half is None or (half.finite and half.first_overflow is None):
        return ()
    first = half.first_overflow
    where = f"layer '{first.name}' ({first.op})" if first is not None else "an output"
    note = (
        f"on a GPU that computes in float16, {where} passes 65504 and becomes infinite: ask the "
        "phone for float32 (the class's precision option)"
    )
    return (note,)


def _unchecked(model: MobileModel, target: Target, delegation: Delegation) -> Verdict:
    lines = tuple(refusals(delegation))
    why = "nobody looked whether a GPU computes it rightly (--skip-check)"
    if lines:
        why += f"; {_by_rules(target, delegation)}"
    return Verdict(
        state="unchecked",
        why=why,
        variant=model.variant,
        outputs=(),
        on_gpu=None,
        operators=len(delegation.counted),
        adapter=None,
        arithmetic=None,
        samples=0,
        source="none",
        runtime=f"ai-edge-litert {version('ai-edge-litert')}",
        problems=lines,
    )


def _limits(
    target: Target, model: MobileModel, verdict: Verdict, driver: Driver | None
) -> tuple[str, ...]:
    """What this check cannot tell."""
    others = [key for key in signatures(model.content) if key != model.signature]
    found = []
    if others:
        more = ", ".join(f"'{key}'" for key in others)
        found.append(f"signature '{model.signature}' alone is run and checked, not {more}")
    if verdict.state == "unchecked":
        return ("nothing was checked", *found)
    if not verdict.samples:
        found.append("nothing was compared: the GPU backend did not run the model")
        if target is Target.IOS_METAL:
            found.append("that backend is WebGPU; the Metal delegate is other code, unchecked")
        return tuple(found)
    if target is Target.IOS_METAL:
        found.append(UNCHECKED_METAL)
    else:
        found.append("checked on WebGPU over Vulkan; a phone's driver is other code")
    if driver is not None and driver.software:
        found.append(f"{driver.name} computes on the CPU: times on it say nothing of a phone")
    found.append("whether a phone computes in float16, and how fast, only the phone shows")
    return tuple(found)
