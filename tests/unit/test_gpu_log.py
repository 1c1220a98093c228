"""The backend's log is read as it is written, and any other text gives no wrong answer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_quantize.gpu import BackendLog, Refusal, read_log

REGISTERED = (
    "INFO: [gpu_registry.cc:138] Dynamically loaded GPU accelerator(libLiteRtWebGpuAccelerator.so) "
    "registered."
)
ADAPTER = (
    "I0000 00:00:1795650902.035726    4823 environment.cc:532] Selected adapter: SwiftShader "
    "Device (Subzero), arch=swiftshader, vendor=google, backend=Vulkan, adapterType=CPU / Software"
)
DISCRETE = (
    "I0000 00:00:1795650902.035726    4823 environment.cc:532] Selected adapter: Some GPU, "
    "arch=turing, vendor=nvidia, backend=Vulkan, adapterType=Discrete GPU"
)
BUILT = (
    "I0000 00:00:1795650902.038828    4823 delegate_kernel.cc:984] Initializing WebGPU-based API "
    "from graph."
)
NO_ACCELERATOR = (
    "WARNING: [gpu_registry.cc:160] GPU accelerator could not be loaded and registered."
)
NO_LOADER = """\
Warning: Couldn't load Vulkan: libvulkan.so.1: cannot open shared object file: No such file
    at operator() (third_party/dawn/src/dawn/native/vulkan/BackendVk.cpp:368)

ERROR: [delegate_webgpu.cc:359] Failed to initialize WebGPU environment: INTERNAL: No adapters found
"""
NO_FEATURE = """\
Warning: Vulkan shaderUniform*ArrayDynamicIndexing required.
 - While initializing adapter (backend=BackendType::Vulkan)

ERROR: [delegate_webgpu.cc:359] Failed to initialize WebGPU environment: INTERNAL: No adapters found
"""
REFUSED = """\
ERROR: Following operations are not supported by GPU delegate:
COMPLEX_ABS: Operation is not supported.
RFFT2D: Operation is not supported.
STRIDED_SLICE: Slice does not support shrink_axis_mask parameter.\x20
1 operations will run on the GPU, and the remaining 3 operations will run on the CPU.
"""
NOTHING = """\
ERROR: Following operations are not supported by GPU delegate:
CAST: INT64 is not supported.
No operations will run on the GPU, and all 2 operations will run on the CPU.
"""
DYNAMIC = (
    "WARNING: Attempting to use a delegate that only supports static-sized tensors with a graph "
    "that has dynamic-sized tensors (tensor#6 is a dynamic-sized tensor)."
)
TOO_LARGE = (
    "E0000 00:00:1795651434.185449   23656 delegate_webgpu.cc:478] Failed to create "
    "litert::ml_drift::DelegateKernelLiteRt: RESOURCE_EXHAUSTED: Requested allocation size - "
    "1200000000 bytes."
)


def test_a_whole_compilation() -> None:
    log = read_log("\n".join([REGISTERED, ADAPTER, BUILT]))
    assert log == BackendLog(
        "SwiftShader Device (Subzero)", True, (), None, None, 1, (), False,
        "libLiteRtWebGpuAccelerator.so", "Vulkan",
    )  # fmt: skip


def test_a_real_gpu_is_no_software() -> None:
    log = read_log(DISCRETE)
    assert (log.adapter, log.software) == ("Some GPU", False)


def test_what_was_refused_is_listed_with_the_counts() -> None:
    log = read_log("\n".join([ADAPTER, REFUSED, BUILT]))
    assert log.refused == (
        Refusal("COMPLEX_ABS", "Operation is not supported."),
        Refusal("RFFT2D", "Operation is not supported."),
        Refusal("STRIDED_SLICE", "Slice does not support shrink_axis_mask parameter."),
    )
    assert (log.on_gpu, log.on_cpu, log.graphs_built) == (1, 3, 1)
    assert not log.failures


def test_nothing_on_the_gpu_is_zero_and_not_unknown() -> None:
    log = read_log(NOTHING)
    assert (log.on_gpu, log.on_cpu, log.graphs_built) == (0, 2, 0)


def test_a_line_outside_the_list_is_no_operator() -> None:
    assert not read_log("RFFT2D: Operation is not supported.").refused


def test_a_missing_accelerator_is_told_from_a_missing_driver() -> None:
    assert read_log(NO_ACCELERATOR).accelerator is None
    assert read_log(NO_ACCELERATOR).no_gpu is None
    log = read_log(REGISTERED + "\n" + NO_LOADER)
    assert log.accelerator == "libLiteRtWebGpuAccelerator.so"
    assert log.no_gpu == (
        "Couldn't load Vulkan: libvulkan.so.1: cannot open shared object file: No such file"
    )


def test_why_a_driver_was_not_taken_is_the_drivers_own_reason() -> None:
    assert read_log(NO_FEATURE).no_gpu == "Vulkan shaderUniform*ArrayDynamicIndexing required"


def test_dynamic_tensors_and_failures() -> None:
    assert read_log(DYNAMIC).dynamic
    assert "RESOURCE_EXHAUSTED" in read_log(TOO_LARGE).failures[0]


def test_a_shape_mismatch_is_kept_in_its_own_words() -> None:
    line = "E0000 00:00:17.5 4 task.cc:9] Shape mismatch: {1, 2} and {1, 3} in convolution1x1"
    assert read_log(line).mismatches == ("Shape mismatch: {1, 2} and {1, 3} in convolution1x1",)


LINES = [
    *(REGISTERED, ADAPTER, BUILT, NO_ACCELERATOR, DYNAMIC, TOO_LARGE, DISCRETE),
    *(NO_LOADER, NO_FEATURE, REFUSED, NOTHING),
]


@given(st.text() | st.lists(st.sampled_from(LINES) | st.text(), max_size=12).map("\n".join))
def test_any_text_can_be_read(text: str) -> None:
    log = read_log(text)
    assert log.graphs_built >= 0
    assert all(each.op and each.reason for each in log.refused)


@given(st.lists(st.sampled_from(LINES), max_size=8), st.integers(0, 4000))
def test_a_log_that_is_cut_off_can_be_read(lines: list[str], end: int) -> None:
    whole, cut = read_log("\n".join(lines)), read_log("\n".join(lines)[:end])
    assert cut.graphs_built <= whole.graphs_built
    assert len(cut.mismatches) <= len(whole.mismatches)
