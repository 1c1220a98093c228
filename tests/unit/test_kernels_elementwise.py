"""Every kernel that does not multiply-accumulate equals tflite_micro bit for bit, on the host and
on an emulated Cortex-M7, whatever the shapes, scales and zero points."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_harness import KERNELS as KERNEL_FOLDER
from kernel_harness import ArmKernels, HostKernels, Kernels
from operator_harness import (
    Array,
    accepting_rows,
    layer_of,
    random_inputs,
    reference,
    refusals,
    run_row,
)

from edge_export.kernels.row import LayerView
from edge_export.kernels.table import KERNELS
from edge_quantize.graph import DType, Graph, Quantization
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.options import Activation, Padding, SoftmaxOptions, SqueezeOptions

EXAMPLES = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FEW = settings(EXAMPLES, max_examples=12)


def check(graph: Graph, kernels: Kernels, seed: int, *expected: str) -> None:
    """All rows that take the operator give the reference's bytes, in place too where they say so;
    `expected` rows are among them."""
    rows = accepting_rows(graph)
    assert rows, refusals(graph)
    assert set(expected) <= {row.name for row in rows}, refusals(graph)
    inputs = random_inputs(graph, seed)
    wanted = reference(graph, inputs)
    for row in rows:
        binding = row.bind(layer_of(graph))
        for place in (None, *binding.in_place):
            got = run_row(row, graph, inputs, kernels, place)
            np.testing.assert_array_equal(
                got.reshape(wanted.shape), wanted, f"{row.name}, in place: {place}"
            )
        if isinstance(kernels, ArmKernels):
            assert kernels.stack_bytes <= 512


scales = st.floats(-9.0, 2.0).map(lambda x: float(np.float32(math.exp(x))))
zero_points = st.integers(-128, 127)
quantizations = st.tuples(scales, zero_points)
activations = st.sampled_from([Activation.NONE, Activation.RELU, Activation.RELU6])
seeds = st.integers(0, 2**32 - 1)
paddings = st.sampled_from([Padding.SAME, Padding.VALID])


@st.composite
def broadcast_shapes(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes of rank 1 to 4 of which either may be broadcast along any dimension."""
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))

    def thinned() -> tuple[int, ...]:
        dims = [draw(st.sampled_from([d, d, 1])) for d in shape]
        return tuple(dims[draw(st.integers(0, len(dims) - 1)) :])

    first, second = thinned(), thinned()
    return first, second


def binary(
    op: str,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    quants: tuple[tuple[float, int], ...],
    activation: Activation = Activation.NONE,
    constant: int | None = None,
    seed: int = 0,
) -> Graph:
    b = GraphBuilder("binary")
    operands = []
    for position in (0, 1):
        scale, zero_point = quants[position]
        if position == constant:
            data = np.random.default_rng(seed).integers(-128, 128, shapes[position], np.int8)
            operands.append(b.constant("constant", data, Quantization((scale,), (zero_point,))))
        else:
            operands.append(b.input(f"x{position}", shapes[position], scale, zero_point))
    return b.build([b.elementwise(op, *operands, *quants[2], activation=activation)])


def usual(quants: tuple[tuple[float, int], ...]) -> tuple[tuple[float, int], ...]:
    """An output scale of the operands' order, as calibration gives it."""
    first, second, (factor, zero_point) = quants
    largest = max(first[0], second[0])
    return (first, second, (float(np.float32(largest * (0.6 + factor % 1.5))), zero_point))


@pytest.mark.parametrize("op", ["ADD", "MUL"])
@EXAMPLES
@given(
    shapes=broadcast_shapes(),
    quants=st.tuples(quantizations, quantizations, quantizations),
    activation=activations,
    constant=st.sampled_from([None, 0, 1]),
    seed=seeds,
)
def test_add_and_mul_of_shapes_that_broadcast(
    host: HostKernels,
    op: str,
    shapes: Any,
    quants: Any,
    activation: Activation,
    constant: int | None,
    seed: int,
) -> None:
    check(binary(op, shapes, usual(quants), activation, constant, seed), host, seed)


@EXAMPLES
@given(quants=st.tuples(quantizations, quantizations, quantizations))
def test_add_of_equal_shapes_over_all_pairs_of_bytes(host: HostKernels, quants: Any) -> None:
    graph = binary("ADD", ((256, 256), (256, 256)), usual(quants))
    grid = np.arange(-128, 128, dtype=np.int8)
    inputs: list[Array] = [np.repeat(grid, 256).reshape(256, 256), np.tile(grid, (256, 1))]
    wanted = reference(graph, inputs)
    for row in accepting_rows(graph):
        np.testing.assert_array_equal(run_row(row, graph, inputs, host), wanted, row.name)


@pytest.mark.parametrize("op", ["ADD", "MUL"])
@FEW
@given(
    shapes=broadcast_shapes(),
    quants=st.tuples(quantizations, quantizations, quantizations),
    activation=activations,
    seed=seeds,
)
def test_add_and_mul_on_an_emulated_core(
    arm: ArmKernels, op: str, shapes: Any, quants: Any, activation: Activation, seed: int
) -> None:
    check(binary(op, shapes, usual(quants), activation), arm, seed)


def test_add_of_equal_shapes_takes_its_linear_form_and_under_15_instructions(
    arm: ArmKernels,
) -> None:
    shape = (1, 16, 16, 16)
    quants = ((0.0221, -128), (0.0471, 4), (0.0501, -128))
    graph = binary("ADD", (shape, shape), quants, Activation.RELU)
    check(graph, arm, 1, "eag_add_linear_s8")
    row = next(row for row in KERNELS if row.name == "eag_add_linear_s8")
    run_row(row, graph, random_inputs(graph, 1), arm)
    assert arm.instructions < 15 * math.prod(shape)


def pool(
    op: str,
    shape: tuple[int, ...],
    size: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding,
    quant: tuple[float, int],
    activation: Activation,
) -> Graph:
    b = GraphBuilder("pool")
    x = b.input("x", shape, *quant)
    return b.build([b.pool(op, x, size, stride, padding=padding, activation=activation)])


pools: dict[str, Any] = {
    "shape": st.tuples(st.just(1), st.integers(4, 9), st.integers(4, 9), st.integers(1, 13)),
    "size": st.tuples(st.integers(1, 4), st.integers(1, 4)),
    "stride": st.tuples(st.integers(1, 3), st.integers(1, 3)),
    "padding": paddings,
    "quant": quantizations,
    "activation": activations,
    "seed": seeds,
}


@pytest.mark.parametrize("op", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@EXAMPLES
@given(**pools)
def test_pools(host: HostKernels, op: str, seed: int, **layer: Any) -> None:
    check(pool(op, **layer), host, seed)


@pytest.mark.parametrize("op", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@FEW
@given(**pools)
def test_pools_on_an_emulated_core(arm: ArmKernels, op: str, seed: int, **layer: Any) -> None:
    check(pool(op, **layer), arm, seed)


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (25, 5)])
def test_an_average_over_many_elements_of_one_sign(
    arm: ArmKernels, rows: int, columns: int
) -> None:
    graph = pool(
        "AVERAGE_POOL_2D",
        (1, rows, columns, 6),
        (rows, columns),
        (1, 1),
        Padding.VALID,
        (0.1, 0),
        Activation.NONE,
    )
    for value in (-128, 127):
        inputs: list[Array] = [np.full((1, rows, columns, 6), value, np.int8)]
        for row in accepting_rows(graph):
            assert (run_row(row, graph, inputs, arm) == value).all(), row.name


def test_a_window_too_large_for_16_bit_sums_is_left_to_the_portable_kernel() -> None:
    graph = pool(
        "AVERAGE_POOL_2D",
        (1, 17, 16, 8),
        (17, 16),
        (1, 1),
        Padding.VALID,
        (0.1, 0),
        Activation.NONE,
    )
    assert [row.name for row in accepting_rows(graph)] == ["eag_average_pool_s8"]
    assert "overflows 16-bit sums" in refusals(graph)["eag_average_pool_s8_dsp"]


@st.composite
def means(draw: st.DrawFn) -> Graph:
    shape = draw(st.lists(st.integers(1, 7), min_size=1, max_size=4))
    axes = draw(st.sets(st.integers(-len(shape), len(shape) - 1), min_size=1))
    axes = {axis % len(shape) for axis in axes}
    source, target = draw(quantizations), draw(quantizations)
    if draw(st.booleans()):
        target = source
    ratio = source[0] / target[0]
    if not 1 / 64 < ratio < 64:
        target = (source[0], target[1])
    b = GraphBuilder("mean")
    x = b.input("x", shape, *source)
    return b.build([b.mean(x, sorted(axes), *target, keep_dims=draw(st.booleans()))])


@EXAMPLES
@given(graph=means(), seed=seeds)
def test_means_over_any_axes(host: HostKernels, graph: Graph, seed: int) -> None:
    check(graph, host, seed)


@FEW
@given(graph=means(), seed=seeds)
def test_means_on_an_emulated_core(arm: ArmKernels, graph: Graph, seed: int) -> None:
    check(graph, arm, seed)


def softmax(rows: int, depth: int, scale: float, zero_point: int, beta: float, out: DType) -> Graph:
    b = GraphBuilder("softmax")
    x = b.input("x", (rows, depth), scale, zero_point)
    if out is DType.INT8:
        return b.build([b.softmax(x, beta)])
    options = SoftmaxOptions(float(np.float32(beta)))
    y = b.operator("SOFTMAX", (x,), options, scale=1 / 65536, zero_point=-32768, dtype=out)
    return b.build([y])


softmaxes: dict[str, Any] = {
    "rows": st.integers(1, 4),
    "depth": st.integers(1, 200),
    "scale": st.floats(-6.0, 1.0).map(lambda x: float(np.float32(math.exp(x)))),
    "zero_point": zero_points,
    "beta": st.sampled_from([1.0, 0.5, 2.0, 0.3]),
    "out": st.sampled_from([DType.INT8, DType.INT16]),
    "seed": seeds,
}


@settings(EXAMPLES, max_examples=60)
@given(**softmaxes)
def test_softmax(host: HostKernels, seed: int, **layer: Any) -> None:
    check(softmax(**layer), host, seed)


@FEW
@given(**softmaxes)
def test_softmax_on_an_emulated_core(arm: ArmKernels, seed: int, **layer: Any) -> None:
    check(softmax(**layer), arm, seed)


@pytest.mark.parametrize("scale", [0.004, 0.05, 0.1, 0.6])
def test_softmax_over_every_difference_of_two_logits(host: HostKernels, scale: float) -> None:
    graph = softmax(256, 2, float(np.float32(scale)), 0, 1.0, DType.INT8)
    column = np.arange(-128, 128, dtype=np.int8)
    inputs: list[Array] = [np.stack([column, np.full(256, 127, np.int8)], axis=1)]
    (row,) = accepting_rows(graph)
    np.testing.assert_array_equal(
        run_row(row, graph, inputs, host), reference(graph, inputs), row.name
    )


@st.composite
def concatenations(draw: st.DrawFn) -> Graph:
    rank = draw(st.integers(1, 4))
    axis = draw(st.integers(-rank, rank - 1))
    dims = draw(st.lists(st.integers(1, 5), min_size=rank, max_size=rank))
    quant = draw(quantizations)
    b = GraphBuilder("concatenation")
    sources = []
    for i in range(draw(st.integers(2, 8))):
        shape = list(dims)
        shape[axis] = draw(st.integers(1, 6))
        sources.append(b.input(f"x{i}", shape, *quant))
    return b.build([b.concatenation(sources, axis)])


@EXAMPLES
@given(graph=concatenations(), seed=seeds)
def test_concatenations(host: HostKernels, graph: Graph, seed: int) -> None:
    check(graph, host, seed)


@FEW
@given(graph=concatenations(), seed=seeds)
def test_concatenations_on_an_emulated_core(arm: ArmKernels, graph: Graph, seed: int) -> None:
    check(graph, arm, seed)


@st.composite
def pads(draw: st.DrawFn) -> Graph:
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    amounts = [(draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in shape]
    scale, zero_point = draw(quantizations)
    b = GraphBuilder("pad")
    x = b.input("x", shape, scale, zero_point)
    if draw(st.booleans()):
        return b.build([b.pad(x, amounts)])
    constant = b.constant("paddings", np.asarray(amounts, np.int32))
    content = np.asarray([draw(zero_points)], np.int8)
    value = b.constant("value", content, Quantization((scale,), (zero_point,)))
    return b.build([b.operator("PADV2", (x, constant, value))])


@EXAMPLES
@given(graph=pads(), seed=seeds)
def test_pads(host: HostKernels, graph: Graph, seed: int) -> None:
    check(graph, host, seed, "eag_pad_s8")


@FEW
@given(graph=pads(), seed=seeds)
def test_pads_on_an_emulated_core(arm: ArmKernels, graph: Graph, seed: int) -> None:
    check(graph, arm, seed, "eag_pad_s8")


def conversion(
    op: str,
    source: tuple[float, int],
    target: tuple[float, int],
    dtypes: tuple[DType, DType] = (DType.INT8, DType.INT8),
) -> Graph:
    b = GraphBuilder("conversion")
    x = b.input("x", (3, 77), *source, dtype=dtypes[0])
    y = b.operator(op, (x,), scale=target[0], zero_point=target[1], dtype=dtypes[1])
    return b.build([y])


@pytest.mark.parametrize("op", ["RELU", "RELU6"])
@EXAMPLES
@given(source=quantizations, target=quantizations, same=st.booleans(), seed=seeds)
def test_activations(
    host: HostKernels, op: str, source: Any, target: Any, same: bool, seed: int
) -> None:
    if same or op == "RELU6" or not 1 / 4096 < source[0] / target[0] < 4096:
        target = source
    check(conversion(op, source, target), host, seed)


CONVERSIONS = [
    (DType.INT8, DType.INT8),
    (DType.INT8, DType.UINT8),
    (DType.UINT8, DType.INT8),
    (DType.INT8, DType.INT16),
    (DType.INT16, DType.INT8),
    (DType.INT16, DType.INT16),
    (DType.FLOAT32, DType.INT8),
    (DType.FLOAT32, DType.INT16),
    (DType.INT8, DType.FLOAT32),
    (DType.UINT8, DType.FLOAT32),
    (DType.INT16, DType.FLOAT32),
]


def typed_zero_point(dtype: DType, zero_point: int) -> int:
    return {DType.UINT8: zero_point + 128, DType.INT16: 0}.get(dtype, zero_point)


def converting(dtypes: tuple[DType, DType], source: Any, target: Any) -> Graph:
    op = "DEQUANTIZE" if dtypes[1] is DType.FLOAT32 else "QUANTIZE"
    if not 1 / 4096 < source[0] / target[0] < 256:
        target = (source[0], target[1])
    ends = [
        (scale, typed_zero_point(dtype, zero_point))
        for dtype, (scale, zero_point) in zip(dtypes, (source, target), strict=True)
    ]
    return conversion(op, ends[0], ends[1], dtypes)


@pytest.mark.parametrize("dtypes", CONVERSIONS, ids=lambda d: f"{d[0].value}-{d[1].value}")
@EXAMPLES
@given(source=quantizations, target=quantizations, seed=seeds)
def test_conversions(
    host: HostKernels, dtypes: tuple[DType, DType], source: Any, target: Any, seed: int
) -> None:
    check(converting(dtypes, source, target), host, seed)


@pytest.mark.parametrize("dtypes", CONVERSIONS, ids=lambda d: f"{d[0].value}-{d[1].value}")
def test_conversions_on_an_emulated_core(arm: ArmKernels, dtypes: tuple[DType, DType]) -> None:
    check(converting(dtypes, (0.0371, 3), (0.052, -9)), arm, 1)


@pytest.mark.parametrize("dtype", [DType.INT8, DType.INT16], ids=lambda d: d.value)
def test_quantize_rounds_halves_away_from_zero_and_saturates(
    host: HostKernels, dtype: DType
) -> None:
    graph = converting((DType.FLOAT32, dtype), (0.5, 0), (0.5, 4))
    halves = np.arange(-60, 60, dtype=np.float32) / 4
    extremes = np.float32([1e30, -1e30, np.inf, -np.inf, 3e5, -3e5, 0.0, -0.0, 1e-40])
    values = np.resize(np.concatenate([halves, extremes]), (3, 77)).astype(np.float32)
    finite = np.where(np.abs(values) < 1e6, values, np.sign(values) * np.float32(1e6))
    (row,) = accepting_rows(graph)
    got = run_row(row, graph, [values], host)
    # The reference converts what is out of int32's range in an undefined way.
    np.testing.assert_array_equal(got, reference(graph, [finite]))


def reshaping(op: str) -> Graph:
    b = GraphBuilder("reshape")
    x = b.input("x", (1, 4, 6), 0.1, 3)
    relu = b.operator("RELU", (x,))
    if op == "RESHAPE":
        return b.build([b.reshape(relu, (2, 12))])
    if op == "SQUEEZE":
        return b.build([b.operator(op, (relu,), SqueezeOptions((0,)))])
    axis = b.constant("axis", np.asarray([1], np.int32))
    return b.build([b.operator(op, (relu, axis))])


@pytest.mark.parametrize("op", ["RESHAPE", "SQUEEZE", "EXPAND_DIMS"])
def test_another_shape_of_the_same_bytes_needs_no_code(op: str) -> None:
    graph = reshaping(op)
    row = next(row for row in KERNELS if row.op == op)
    assert row.is_alias
    assert row.sources == ()
    assert row.refuses(LayerView(graph, graph.operators[1])) is None


def test_a_reshape_from_the_models_input_to_its_output_is_a_copy(host: HostKernels) -> None:
    b = GraphBuilder("reshape")
    graph = b.build([b.reshape(b.input("x", (1, 4, 6), 0.1, 3), (2, 12))])
    assert "memory of its own" in refusals(graph)["alias"]
    check(graph, host, 5, "eag_copy")


def refused(graph: Graph) -> str:
    assert accepting_rows(graph) == []
    return "; ".join(refusals(graph).values())


def test_refusals_name_the_tensor_and_the_reason() -> None:
    b = GraphBuilder("g")
    x, y = b.input("x", (2, 3), 0.1, 0), b.input("y", (2, 3), 0.2, 0)
    assert "input 1 and the output differ in quantization ('y': scale 0.2" in refused(
        b.build([b.concatenation([x, y], 0)])
    )
    assert "the input 'x' is float32, not int8" in refused(
        conversion("RELU", (0.1, 0), (0.1, 0), (DType.FLOAT32, DType.INT8))
    )
    assert "differ in quantization" in refused(conversion("RELU6", (0.1, 0), (0.2, 0)))
    tanh = binary("ADD", ((4,), (4,)), ((0.1, 0), (0.1, 0), (0.2, 0)), Activation.TANH)
    assert "fused activation TANH is not supported" in refused(tanh)
    assert "products would overflow 32 bits" in refused(
        binary("MUL", ((4,), (4,)), ((8.0, 0), (8.0, 0), (1e-4, 0)))
    )
    assert "the scale of the output is too far from the others" in refused(
        binary("ADD", ((4,), (4,)), ((8.0, 0), (8.0, 0), (1e-6, 0)))
    )


def test_rows_name_sources_that_are_there_with_the_headers_they_include() -> None:
    firmware = KERNEL_FOLDER.parent
    for row in KERNELS:
        named = {Path(source).name for source in row.sources}
        for source in row.sources:
            text = (firmware / source).read_text()
            for line in text.splitlines():
                if line.startswith('#include "'):
                    assert line.split('"')[1] in named, f"{row.name}: {source}: {line}"
