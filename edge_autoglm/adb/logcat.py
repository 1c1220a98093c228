"""What the benchmark app writes to the phone's log, read line by line.

The words are the app's and the GPU delegate's own (tensorflow/lite: tools/benchmark,
tools/delegates, delegates/gpu), the format that of `logcat -v threadtime`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from edge_quantize.gpu.log import read_log

from .values import GpuShare, Taken, Times

PACKAGE = "org.tensorflow.lite.benchmark"
MARKER_TAG = "edge-autoglm"
_LINE = re.compile(
    r"^(?:\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d\.\d+\s+(?P<pid>\d+)\s+(?P<tid>\d+)\s+"
    r"(?P<level>[VDIWEFA])\s+(?P<tag>.*?)\s*: (?P<text>.*)$"
)
_ARGUMENTS = "Running TensorFlow Lite benchmark with args: "
_NUMBER = r"([-+.\deE]+)"
_TIMINGS = re.compile(
    rf"Inference timings in us: Init: {_NUMBER}, First inference: {_NUMBER}, "
    rf"Warmup \(avg\): {_NUMBER}, Inference \(avg\): {_NUMBER}"
)
_MEMORY = re.compile(rf"[Mm]emory footprint[^:]*\(MB\): init={_NUMBER} overall={_NUMBER}")
_COUNT = re.compile(r"^count=\d+ ")
_PAIR = re.compile(r"(\w+)=([-+.\deE]+)")
_SAME_AVERAGE = 1e-4  # it is printed twice, with six digits
_MEASURING = "Running benchmark for at least"
_ALL = "Explicitly applied GPU delegate, and the model graph will be completely executed"
_PART = re.compile(
    r"Explicitly applied GPU delegate, and the model graph will be partially executed by the "
    r"delegate w/ (\d+) delegate kernels"
)
_UNSUPPORTED = "GPU acceleration is unsupported on this platform"
_NONE = (
    "Though GPU delegate is explicitly applied, the model graph will not be executed",
    _UNSUPPORTED,
    "Failed to apply GPU delegate",
)
_REPLACED = re.compile(r"Replacing (\d+) out of (\d+) node\(s\) with delegate \(TfLiteGpuDelegate")
_API = re.compile(r"Initialized (OpenCL|OpenGL)-based API")
# After an error that begins so the app ends its run without a result and without another word.
_LAST_WORDS = re.compile(
    r"^Failed to |^Node number \d+ .* failed to invoke|^Disallowed CPU fallback|^Please specify"
)
# Errors that come with every failure of the kind, or are none: operators left to the CPU.
_NO_CAUSE = re.compile(
    r"^Following operations are not supported|^[A-Z][A-Z0-9_]*(?: \([^)]*\))?: |"
    r"operations will run on the (GPU|CPU)|delegate is not initialized|failed to prepare|"
    r"^Restored .* execution plan|^Falling back to "
)
_DIED = re.compile(rf"Process {re.escape(PACKAGE)} \(pid (\d+)\) has died")
_KILLED = re.compile(rf"Kill(?:ing)? '{re.escape(PACKAGE)}' \((\d+)\)")
_ENDED = re.compile(rf"Killing (\d+):{re.escape(PACKAGE)}/\S+ \(adj [^)]*\): (.*)")
_ANR = f"ANR in {PACKAGE}"
_SIGNAL = re.compile(r"Fatal signal \d+ \((\w+)\).* pid (\d+) ")


@dataclass(frozen=True)
class LogLine:
    """A line of logcat."""

    pid: int
    level: str
    tag: str
    text: str


def read_line(line: str) -> LogLine | None:
    """A line in logcat's format `threadtime`, None for what is none (`--------- beginning of`)."""
    match = _LINE.match(line.rstrip("\r\n"))
    if match is None:
        return None
    return LogLine(int(match["pid"]), match["level"], match["tag"], match["text"])


@dataclass
class RunLog:
    """Follows one run: give it the lines in their order.

    Attributes:
        graph: the model's path on the phone, which is new for every run and tells ours from others.
        started: the app has told its arguments.
        times: set when the app has given its result.
        memory: what it took, in bytes; the line after the result, and the last.
        failure: set when the run is over without one, in the app's or the system's words.
    """

    graph: str
    started: bool = False
    times: Times | None = None
    memory: int | None = None
    failure: str | None = None
    _pid: int | None = None
    _said: list[str] = field(default_factory=list)
    _errors: list[str] = field(default_factory=list)
    _exception: bool = False
    _counts: dict[str, float] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return self.failure is not None or self.memory is not None

    def add(self, line: LogLine) -> None:
        text = line.text
        if line.tag == "tflite_BenchmarkModelActivity" and _ARGUMENTS in text:
            if self.graph in text:
                self.started, self._pid = True, line.pid
        elif line.tag == "tflite" and line.pid == self._pid:
            self._app(line)
        elif line.tag == "AndroidRuntime":
            self._runtime(line)
        else:
            self._system(line)

    def _app(self, line: LogLine) -> None:
        text = line.text.strip()
        self._said.append(text)
        if line.level in "EF":
            self._errors.append(text)
        if found := _TIMINGS.search(text):
            self.times = self._timings(*map(float, found.groups()))
        elif found := _MEMORY.search(text):
            self.memory = max(0, round(float(found[2]) * 1024 * 1024))
        elif _COUNT.match(text):
            self._counts = {name: float(value) for name, value in _PAIR.findall(text)}
        elif line.level in "EF" and _LAST_WORDS.search(text):
            self.failure = self._why()

    def _timings(self, load: float, first: float, warmup: float, average: float) -> Times:
        """With the statistics of the last inferences that were counted: the measured ones, or, as
        logcat loses lines, none where their average is another's (the warm-up's)."""
        counts = self._counts
        if not math.isclose(counts.get("avg", math.nan), average, rel_tol=_SAME_AVERAGE):
            counts = {}
        return Times(
            load, first, warmup, average,
            count=int(counts["count"]) if "count" in counts else None,
            minimum=counts.get("min"), maximum=counts.get("max"), deviation=counts.get("std"),
            median=counts.get("median"), p95=counts.get("p95"),
        )  # fmt: skip

    def _runtime(self, line: LogLine) -> None:
        """Java's uncaught exception: three lines, the process' name in the second."""
        if f"Process: {PACKAGE}" in line.text:
            self._exception = True
        elif self._exception and self.failure is None and not line.text.startswith("\tat"):
            self.failure = f"the app crashed: {line.text.strip()}"

    def _system(self, line: LogLine) -> None:
        text = line.text
        if self.times is not None or self._pid is None:
            return  # what ends the app after its result is no failure
        if (found := _SIGNAL.search(text + " ")) and int(found[2]) == self._pid:
            self.failure = f"the app crashed ({found[1]}){self._last()}"
        elif (found := _DIED.search(text)) and int(found[1]) == self._pid:
            self.failure = "the app's process ended" + self._last()
        elif (found := _KILLED.search(text)) and int(found[1]) == self._pid:
            self.failure = "the system killed the app to free memory"
        elif (found := _ENDED.search(text)) and int(found[1]) == self._pid:
            self.failure = f"the system ended the app: {found[2].strip()}"
        elif _ANR in text:
            self.failure = "the system stopped the app, as it did not answer"

    def _why(self) -> str:
        """The app's last words, and what was said before them of the cause."""
        *causes, last = self._errors
        told = [text.rstrip(".") for text in causes if not _NO_CAUSE.search(text)]
        return ": ".join(filter(None, (last.rstrip("."), "; ".join(dict.fromkeys(told[-3:])))))

    def _last(self) -> str:
        doing = "running" if self.measuring else "loading"
        error = f"; its last error: {self._errors[-1]}" if self._errors else ""
        return f" while {doing} the model{error}"

    @property
    def measuring(self) -> bool:
        """The model is loaded and runs."""
        return any(_MEASURING in text for text in self._said)

    def share(self) -> GpuShare:
        """What was said of the GPU so far."""
        text = "\n".join(self._said)
        log = read_log(text)
        part = _PART.search(text)
        api = _API.search(text)
        replaced = _REPLACED.search(text)
        on_gpu, on_cpu = log.on_gpu, log.on_cpu
        if on_gpu is None and replaced:
            on_gpu, on_cpu = int(replaced[1]), int(replaced[2]) - int(replaced[1])
        if _ALL in text:
            taken = Taken.ALL
        elif part:
            taken = Taken.PART
        elif any(words in text for words in _NONE):
            taken = Taken.NONE
        else:
            taken = Taken.UNSAID
        kernels = 1 if taken is Taken.ALL else int(part[1]) if part else None
        refused = [f"{each.op}: {each.reason}" for each in log.refused]
        if _UNSUPPORTED in text:
            refused.append(_UNSUPPORTED)
        return GpuShare(taken, api[1] if api else None, on_gpu, on_cpu, kernels, tuple(refused))
