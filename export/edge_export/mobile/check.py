"""Whether a GPU computes what the CPU does: the verdict on one variant of a model.

The model is compiled for the GPU alone, so that nothing the CPU computed can pass for the GPU's;
then both run on the same rows. Besides too large a difference these are wrong: a value that is not
finite, outputs that stand still where the CPU's vary, a repeated run that differs, and a graph in
which the backend itself found that shapes do not match.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version

from edge_quantize.errors import GpuCompileError, GpuRunError, QuantizeError
from edge_quantize.gpu import BackendLog, Driver, GpuSession, find_driver, read_log
from edge_quantize.graph import Graph
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.quality import classifies

from .apart import computing
from .compare import Tolerance, difference, finite, steady
from .expected import Cpu, Outputs, hybrid, run_in_order, spelt_out
from .first_wrong import OpenSession, first_mismatched, first_wrong, layer_differences, layer_values
from .model import FirstWrong, MobileModel, OutputDifference, Verdict
from .probe import Probe
from .rounding import only_rounding
from .runs import Runs
from .taken import compile_problem, not_on_gpu, taken

Progress = Callable[[int, int, str], None]
# Samples on which a larger difference of integers is looked into: those that are furthest apart.
_LOOKED_INTO = 4


def unsaid(_done: int, _total: int, _doing: str) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, eq=False)
class Checked:
    """The verdict, the backend's log of the GPU-only compilation that it comes from, and what both
    sides computed, None where the GPU did not run."""

    verdict: Verdict
    log: BackendLog
    runs: Runs | None = None


def check(
    model: MobileModel,
    probe: Probe,
    *,
    driver: Driver | None = None,
    tolerance: Tolerance | None = None,
    open_session: OpenSession | None = None,
    progress: Progress = unsaid,
) -> Checked:
    """Runs `model` on the GPU and on the CPU over `probe`.

    `driver` is the Vulkan driver, None for what `find_driver` finds; a test may give its own
    `open_session`. The verdict's `half`, `works`, `limits` and `drift` are not this function's.

    Raises GpuUnavailableError without a driver, ReferenceRuntimeError when the CPU refuses the
    model, InputDataError when `probe` is of another model.
    """
    graph = read_tflite(model.content)
    if open_session is None:
        driver = driver or find_driver()
        # A real GPU may compute in float16 unless told otherwise; what is compared here is whether
        # it computes the right thing, and float16 is simulated.
        open_session = partial(GpuSession, driver=driver, enforce_float32=not driver.software)
    return _Check(model, graph, probe, tolerance or Tolerance(), open_session, progress).checked()


class _Check:
    def __init__(
        self,
        model: MobileModel,
        graph: Graph,
        probe: Probe,
        tolerance: Tolerance,
        open_session: OpenSession,
        progress: Progress,
    ) -> None:
        self.model = model
        self.graph = graph
        self.probe = probe
        self.tolerance = tolerance
        self.open = open_session
        self.progress = progress
        self.total = len(probe.rows) + 1
        self.runtime = f"ai-edge-litert {version('ai-edge-litert')}"
        self.arithmetic: str | None = None

    def checked(self) -> Checked:
        self.progress(0, self.total, "compiling for the GPU alone")
        try:
            with self.open(self.model.content) as session:
                self.runtime, self.arithmetic = session.runtime, session.arithmetic
                problem = not_on_gpu(self.graph, session)
                log = session.log
                if problem:
                    return Checked(self._refused(problem, log), log)
                runs = self._runs(session)
                log = session.log
        except GpuCompileError as error:
            log = read_log(error.log)
            return Checked(self._refused(compile_problem(str(error), log, self.graph), log), log)
        except GpuRunError as error:
            log = read_log(error.log)
            return Checked(self._refused(f"the GPU run failed: {error}", log), log)
        return Checked(self._judged(runs, log), log, runs)

    def _runs(self, session: GpuSession) -> Runs:
        rows, expected, found = [], [], []
        with Cpu(self.graph, self.model.content) as cpu:
            for number in range(len(self.probe.rows)):
                row = self.probe.fed(self.graph, number)
                rows.append(row)
                expected.append(cpu.run(row))
                found.append(run_in_order(session, self.graph, row))
                self.progress(number + 1, self.total, "comparing GPU and CPU")
        return Runs(
            tuple(rows), tuple(expected), tuple(found), run_in_order(session, self.graph, rows[0])
        )

    def _base(self, state: str, why: str, log: BackendLog) -> Verdict:
        return Verdict(
            state=state,
            why=why,
            variant=self.model.variant,
            outputs=(),
            on_gpu=0,
            operators=len(computing(self.graph)),
            adapter=log.adapter,
            arithmetic=self.arithmetic,
            samples=0,
            source=self.probe.source,
            runtime=self.runtime,
            warnings=log.mismatches,
        )

    def _refused(self, why: str, log: BackendLog) -> Verdict:
        problems = tuple(f"{each.op}: {each.reason}" for each in log.refused)
        verdict = self._base("refused", why, log)
        on_gpu, operators = taken(self.graph, log) or (0, verdict.operators)
        return replace(verdict, on_gpu=on_gpu, operators=operators, problems=problems)

    def _judged(self, runs: Runs, log: BackendLog) -> Verdict:
        outputs = self._explained(runs, self._differences(runs), log)
        notes = list(self._notes(runs))
        why = self._wrong(runs, outputs, log)
        first: FirstWrong | None = None
        if why and any(not finite(outputs) for outputs in runs.cpu):
            why += self._first_not_finite(runs)
        elif why:
            first = self._first_wrong(runs, log)
        elif self._steady(runs):
            # The comparison of outputs could not fail: the layers inside have to show it.
            why, note = self._layers(runs)
            notes.append(note)
        state = "wrong" if why else "right"
        if not why:
            why = _agreement(outputs, len(runs.rows))
        verdict = self._base(state, why, log)
        return replace(
            verdict,
            outputs=outputs,
            on_gpu=verdict.operators,
            samples=len(runs.rows),
            first_wrong=first,
            notes=tuple(note for note in notes if note),
        )

    def _differences(self, runs: Runs) -> tuple[OutputDifference, ...]:
        found = []
        for position, index in enumerate(self.graph.outputs):
            tensor = self.graph.tensors[index]
            classes = position == 0 and (classifies(self.graph) or bool(self.model.labels))
            found.append(
                difference(
                    tensor,
                    self.model.outputs[position].name,
                    [outputs[position] for outputs in runs.cpu],
                    [outputs[position] for outputs in runs.gpu],
                    self.tolerance.of(tensor),
                    classes and tensor.elements > 1,
                )
            )
        return tuple(found)

    def _explained(
        self, runs: Runs, outputs: tuple[OutputDifference, ...], log: BackendLog
    ) -> tuple[OutputDifference, ...]:
        """`outputs` with those marked that are off through rounding alone."""
        numbers = all(finite(each) for each in (*runs.cpu, *runs.gpu))
        if all(each.within for each in outputs) or log.mismatches or not numbers:
            return outputs
        self.progress(self.total, self.total, "looking whether the difference is rounding")
        chosen = runs.farthest(_LOOKED_INTO)
        rows, found = [runs.rows[n] for n in chosen], [runs.gpu[n] for n in chosen]
        if not only_rounding(self.graph, rows, found, self.open, self.tolerance):
            return outputs
        return tuple(replace(each, rounding=not each.within) for each in outputs)

    def _wrong(self, runs: Runs, outputs: tuple[OutputDifference, ...], log: BackendLog) -> str:
        """Why the result is wrong, the plainest reason first; empty when it is right."""
        names = [port.name for port in self.model.outputs]
        for position, name in enumerate(names):
            if not finite([outputs[position] for outputs in runs.cpu]):
                return f"output '{name}' is NaN or infinite on the CPU too: the model overflows"
            if not finite([outputs[position] for outputs in runs.gpu]):
                return f"output '{name}' is NaN or infinite on the GPU"
        apart = [each for each in outputs if not each.good]
        still = [names[p] for p in range(len(names)) if self._stands_still(runs, p)]
        if still:
            return f"output '{still[0]}' is the same for every input on the GPU, not on the CPU"
        if apart:
            worst = max(apart, key=lambda e: e.max_abs if e.relative is None else e.relative)
            return f"output '{worst.name}' is {_apart(worst)} from the CPU's"
        for position, index in enumerate(self.graph.outputs):
            tensor = self.graph.tensors[index]
            repeated = difference(
                tensor, names[position], [runs.gpu[0][position]], [runs.again[position]],
                self.tolerance.of(tensor),
            )  # fmt: skip
            if not repeated.within:
                return (
                    f"output '{names[position]}' differs between two runs on the same input by "
                    f"{_apart(repeated)}"
                )
        if log.mismatches:
            return f"the backend's own log says that shapes do not match: {log.mismatches[0]}"
        return ""

    def _stands_still(self, runs: Runs, position: int) -> bool:
        return len(runs.rows) > 1 and (
            self._still(runs.gpu, position) and not self._still(runs.cpu, position)
        )

    def _steady(self, runs: Runs) -> bool:
        """Whether some output is the same for all rows on both sides."""
        return any(self._still(runs.cpu, p) for p in range(len(self.graph.outputs)))

    def _still(self, side: tuple[Outputs, ...], position: int) -> bool:
        tensor = self.graph.tensors[self.graph.outputs[position]]
        return steady(
            [outputs[position] for outputs in side],
            self.tolerance.of(tensor),
            tensor.dtype.numpy.kind == "f",
        )

    def _first_wrong(self, runs: Runs, log: BackendLog) -> FirstWrong | None:
        self.progress(self.total, self.total, "looking for the layer that is wrong")
        found = first_wrong(self.graph, runs.rows[runs.farthest(1)[0]], self.open, self.tolerance)
        if found is None and log.mismatches:
            operator = first_mismatched(self.graph, self.open)
            if operator is not None:
                name = self.graph.layer_name(operator)
                found = FirstWrong(operator.index, name, operator.op, 0.0, None)
        return found

    def _first_not_finite(self, runs: Runs) -> str:
        """The layer at which the model itself overflows, as the end of a sentence."""
        row = next(r for r, outputs in zip(runs.rows, runs.cpu, strict=True) if not finite(outputs))
        try:
            values = layer_values(self.graph, row)
        except QuantizeError:
            return ""
        for operator in computing(self.graph):
            if not finite([values[index] for index in operator.outputs]):
                return f", first at {operator.op} '{self.graph.layer_name(operator)}'"
        return ""

    def _layers(self, runs: Runs) -> tuple[str, str]:
        """(why it is wrong, what was compared) of the layers, one by one, on the first row."""
        blind = "the output is the same for every sample, so that it shows nothing"
        try:
            values = layer_values(self.graph, runs.rows[0])
            layers = layer_differences(self.graph, values, self.open, self.tolerance)
        except QuantizeError as error:
            return f"{blind}, and the layers cannot be compared one by one ({error})", ""
        for operator, each in layers:
            if not each.within:
                return f"{blind}; {operator.op} '{each.name}' is {_apart(each)} from the CPU's", ""
        return "", f"{blind}; the {len(layers)} layers were compared one by one instead"

    def _notes(self, runs: Runs) -> tuple[str, ...]:
        layers = hybrid(self.graph)
        if not layers or spelt_out(self.graph) is self.graph:
            return ()
        apart = self._rounded_by_cpu(runs)
        note = (
            f"{len(layers)} of {len(self.graph.operators)} operators have integer weights and "
            "float activations: GPUs take such weights as floats, and are compared with that; "
            f"LiteRT's CPU rounds those activations, so that an app's CPU result is {apart}"
        )
        return (note,)

    def _rounded_by_cpu(self, runs: Runs) -> str:
        try:
            with Cpu(self.graph, self.model.content, as_file=True) as cpu:
                rounded = [cpu.run(row) for row in runs.rows]
        except QuantizeError:
            return "another one"
        found = []
        for position, index in enumerate(self.graph.outputs):
            tensor = self.graph.tensors[index]
            sides = [[row[position] for row in side] for side in (runs.cpu, rounded)]
            found.append(difference(tensor, "", sides[0], sides[1], 0.0).relative or 0.0)
        return f"up to {max(found):.1g} (relative) off"


def _off(each: OutputDifference) -> str:
    return f"{each.max_abs:g} LSB" if each.relative is None else f"{each.relative:.2g} (relative)"


def _apart(each: OutputDifference) -> str:
    if each.relative is not None:
        return f"{each.relative:.2g} (relative; at most {each.tolerance:g})"
    return f"{_off(each)} (at most {each.tolerance:g})"


def _agreement(outputs: tuple[OutputDifference, ...], samples: int) -> str:
    worst = max(
        outputs, key=lambda e: (e.rounding, e.max_abs if e.relative is None else e.relative)
    )
    over = f"from the CPU's result at most, over {samples} sample{'s' * (samples != 1)}"
    if worst.rounding:
        return (
            f"{_off(worst)} {over}, through rounding alone: every operator, given the GPU's own "
            "values, is within the tolerance"
        )
    return f"{_apart(worst)} {over}"
