"""What the benchmark app says in the phone's log, and what is made of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_autoglm.adb.logcat import LogLine, RunLog, read_line
from edge_autoglm.adb.values import Taken

GRAPH = "/data/local/tmp/edge-autoglm-0a1b2c.tflite"
START = f"Running TensorFlow Lite benchmark with args: --graph={GRAPH} --num_runs=50"
RESULT = (
    "Inference timings in us: Init: 1007529, First inference: 4098, Warmup (avg): 1686.59, "
    "Inference (avg): 1687.92"
)
MEMORY = "Memory footprint delta from the start of the tool (MB): init=3.5 overall=7.25"
NONE = (
    "Though GPU delegate is explicitly applied, the model graph will not be executed by the "
    "delegate."
)
ON_GPU, ON_CPU = "operations will run on the GPU", "operations will run on the CPU"
ALL = (
    "Explicitly applied GPU delegate, and the model graph will be completely executed by the "
    "delegate."
)


def run(*said: str | tuple[str, str], graph: str = GRAPH) -> RunLog:
    """A run that said this: texts of the app, or (level, text)."""
    log = RunLog(graph)
    log.add(LogLine(77, "I", "tflite_BenchmarkModelActivity", START))
    for each in said:
        level, text = each if isinstance(each, tuple) else ("I", each)
        log.add(LogLine(77, level, "tflite", text))
    return log


@pytest.mark.parametrize(
    "text",
    [
        "05-31 10:31:13.022 21767 21767 I tflite  : Loaded model",
        "2024-05-31 10:31:13.022 21767 21767 I tflite: Loaded model\r\n",
        "05-31 10:31:13.022000  21767  21767 I tflite  : Loaded model\n",
    ],
)
def test_a_line_of_every_form_of_threadtime_is_read(text: str) -> None:
    assert read_line(text) == LogLine(21767, "I", "tflite", "Loaded model")


@pytest.mark.parametrize("text", ["", "--------- beginning of main", "- waiting for device -"])
def test_what_is_no_line_of_the_log_is_none(text: str) -> None:
    assert read_line(text) is None


@given(st.text(), st.text(alphabet=st.characters(exclude_characters="\r\n")))
def test_any_text_is_read_without_an_error(junk: str, text: str) -> None:
    read_line(junk)
    line = read_line(f"11-25 23:59:59.999  1234  5678 E tflite  : {text}")
    assert line is not None
    assert line.text.rstrip() == text.rstrip()
    log = run(text, ("E", junk))
    log.add(LogLine(1, "F", "libc", junk))
    log.share()


@given(st.floats(1, 1e9), st.floats(1, 1e9))
def test_the_figures_are_those_that_the_app_printed(average: float, first: float) -> None:
    log = run(
        f"Inference timings in us: Init: 7, First inference: {first:g}, Warmup (avg): 9, "
        f"Inference (avg): {average:g}"
    )
    assert log.times is not None
    assert log.times.average == float(f"{average:g}")
    assert log.times.first == float(f"{first:g}")


def test_statistics_are_of_the_measured_inferences_and_not_of_the_warm_up() -> None:
    log = run(
        "count=9 first=9050 curr=5000 min=4900 max=9050 avg=5600.5 std=1200",
        "count=207 first=5000 curr=4900 min=4800 max=6100 avg=1687.92 std=75 p5=1600 median=1680 "
        "p95=1800",
        RESULT,
        MEMORY,
    )
    times = log.times
    assert times is not None
    assert (times.load, times.first, times.warmup, times.average) == (
        1007529, 4098, 1686.59, 1687.92,
    )  # fmt: skip
    assert (times.count, times.minimum, times.maximum) == (207, 4800, 6100)
    assert (times.median, times.p95) == (1680, 1800)
    assert log.memory == 7.25 * 1024 * 1024
    assert log.over


def test_the_warm_ups_statistics_are_not_taken_for_the_measured_where_lines_are_lost() -> None:
    """logcat drops lines of whoever writes many."""
    log = run(
        "count=9 first=9050 curr=5000 min=4900 max=9050 avg=1686.59 std=1200 median=5 p95=9",
        RESULT,
    )
    assert log.times is not None
    assert log.times.average == 1687.92
    assert (log.times.count, log.times.median, log.times.p95) == (None, None, None)


def test_an_older_app_prints_less_and_what_it_does_not_print_is_none() -> None:
    log = run(
        "count=50 first=32891 curr=33978 min=32641 max=34005 avg=33209.4 std=450",
        RESULT.replace("1687.92", "33209.4"),
        "Peak memory footprint (MB): init=0 overall=12.8672",
    )
    assert log.times is not None
    assert log.times.count == 50
    assert log.times.median is None
    assert log.memory == round(12.8672 * 1024 * 1024)


def test_lines_of_other_runs_and_other_apps_are_not_ours() -> None:
    log = RunLog(GRAPH)
    log.add(LogLine(5, "I", "tflite", RESULT))
    log.add(LogLine(5, "I", "tflite_BenchmarkModelActivity", START.replace("0a1b2c", "ffffff")))
    log.add(LogLine(5, "I", "tflite", RESULT))
    assert not log.started
    assert log.times is None
    log.add(LogLine(77, "I", "tflite_BenchmarkModelActivity", START))
    log.add(LogLine(5, "E", "tflite", "Failed to load model x"))
    assert log.started
    assert not log.over


def test_the_whole_model_on_the_gpu_is_what_the_delegate_says() -> None:
    share = run("Initialized OpenCL-based API.", ALL).share()
    assert share.taken is Taken.ALL
    assert share.api == "OpenCL"


def test_a_part_on_the_gpu_is_counted_and_the_refusals_are_kept() -> None:
    log = run(
        ("E", "Following operations are not supported by GPU delegate:"),
        ("E", "UNPACK: Operation is not supported."),
        ("E", f"294 {ON_GPU}, and the remaining 43 {ON_CPU}."),
        "Initialized OpenGL-based API.",
        "Explicitly applied GPU delegate, and the model graph will be partially executed by the "
        "delegate w/ 1 delegate kernels.",
        "Replacing 40 out of 44 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 3 "
        "partitions.",
    )  # fmt: skip
    share = log.share()
    assert share.taken is Taken.PART
    assert (share.on_gpu, share.on_cpu, share.kernels, share.api) == (294, 43, 1, "OpenGL")
    assert share.refused == ("UNPACK: Operation is not supported.",)
    assert not log.over, "operators left to the CPU are no failure"


def test_counts_come_from_the_replaced_nodes_where_the_list_was_cut_off() -> None:
    share = run(
        "Replacing 20 out of 31 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 5 "
        "partitions for subgraph 0 (main).",
        "Explicitly applied GPU delegate, and the model graph will be partially executed by the "
        "delegate w/ 2 delegate kernels.",
    ).share()
    assert (share.on_gpu, share.on_cpu, share.kernels) == (20, 11, 2)


@pytest.mark.parametrize(
    "text",
    [
        NONE,
        "GPU acceleration is unsupported on this platform.",
    ],
)
def test_nothing_on_the_gpu_is_said_so_though_the_run_has_figures(text: str) -> None:
    log = run(text, RESULT, MEMORY)
    assert log.times is not None
    assert log.share().taken is Taken.NONE


def test_figures_without_a_word_of_the_delegate_prove_nothing() -> None:
    assert run("GPU delegate created.", RESULT, MEMORY).share().taken is Taken.UNSAID


def test_another_delegates_words_are_not_the_gpus() -> None:
    share = run(ALL.replace("GPU", "XNNPACK"), RESULT).share()
    assert share.taken is Taken.UNSAID


def test_a_model_that_does_not_load_ends_the_run_with_the_cause() -> None:
    log = run(
        ("E", "The model is not a valid Flatbuffer file"), ("E", f"Failed to load model {GRAPH}")
    )
    assert log.over
    assert log.failure == f"Failed to load model {GRAPH}: The model is not a valid Flatbuffer file"


def test_a_gpu_that_cannot_be_created_says_why() -> None:
    log = run(
        ("E", "Can not open OpenCL library on this device - dlopen failed"),
        ("E", "Falling back to OpenGL"),
        ("E", "TfLiteGpuDelegate Init: No EGL error, but eglChooseConfig failed."),
        ("E", "TfLiteGpuDelegate Prepare: delegate is not initialized"),
        ("E", "Node number 31 (TfLiteGpuDelegateV2) failed to prepare."),
        ("E", "Restored original execution plan after delegate application failure."),
    )
    assert not log.over, "the app may still say more"
    log.add(LogLine(77, "E", "tflite", "Failed to apply GPU delegate."))
    assert log.failure == (
        "Failed to apply GPU delegate: Can not open OpenCL library on this device - dlopen failed; "
        "TfLiteGpuDelegate Init: No EGL error, but eglChooseConfig failed"
    )
    assert log.share().taken is Taken.NONE


SYSTEM = {
    "signal": ("F", "libc", ("Fatal signal 11 (SIGSEGV), code 1 (SEGV_MAPERR), fault addr 0x7d in "
               "tid 79 (low.lite.benchm), pid 77 (low.lite.benchm)")),
    "died": ("I", "ActivityManager", ("Process org.tensorflow.lite.benchmark (pid 77) has died: fg "
             " TOP")),
    "memory": ("I", "lowmemorykiller", "Kill 'org.tensorflow.lite.benchmark' (77), uid 10234"),
    "stopped": ("I", "ActivityManager", ("Killing 77:org.tensorflow.lite.benchmark/u0a234 (adj 0): "
                "remove task")),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(SYSTEM))
def test_the_systems_word_on_the_end_of_the_app_ends_the_run(name: str) -> None:
    level, tag, text = SYSTEM[name]
    log = run("Running benchmark for at least 1 iterations and at least 0.5 seconds")
    log.add(LogLine(1500, level, tag, text.replace("77", "78")))
    assert not log.over, "that was another process"
    log.add(LogLine(77 if name == "signal" else 1500, level, tag, text))
    assert log.over
    assert log.failure


@pytest.mark.parametrize("name", sorted(SYSTEM))
def test_what_ends_the_app_after_its_result_is_no_failure(name: str) -> None:
    level, tag, text = SYSTEM[name]
    log = run(RESULT)
    log.add(LogLine(1500, level, tag, text))
    assert log.failure is None


def test_an_exception_of_the_app_is_named_though_it_never_began() -> None:
    log = RunLog(GRAPH)
    for text in (
        "FATAL EXCEPTION: main",
        "Process: org.tensorflow.lite.benchmark, PID: 77",
        'java.lang.UnsatisfiedLinkError: dlopen failed: library "x.so" not found',
        "\tat java.lang.Runtime.loadLibrary0(Runtime.java:1082)",
    ):
        log.add(LogLine(77, "E", "AndroidRuntime", text))
    assert log.failure == (
        'the app crashed: java.lang.UnsatisfiedLinkError: dlopen failed: library "x.so" not found'
    )


def test_an_exception_of_another_app_is_none_of_ours() -> None:
    log = RunLog(GRAPH)
    for text in ("FATAL EXCEPTION: main", "Process: com.example, PID: 9", "java.lang.Error"):
        log.add(LogLine(9, "E", "AndroidRuntime", text))
    assert log.failure is None
