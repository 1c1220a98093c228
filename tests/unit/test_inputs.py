"""Pseudo-random inputs, and data files that do or do not fit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_quantize import inputs
from edge_quantize.errors import InputDataError
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.inputs import lcg_bytes, lcg_inputs, load_inputs, quantize_array


def image_graph() -> Graph:
    b = GraphBuilder("image")
    x = b.input("x", (1, 2, 3, 1), scale=0.5, zero_point=-3)
    return b.build([b.operator("RELU", (x,))])


def two_input_graph() -> Graph:
    b = GraphBuilder("two")
    x, y = b.input("x", (1, 3)), b.input("y", (1, 2))
    return b.build([b.concatenation([x, y], 1)])


def npy_header(shape: str, dtype: str = "|i1") -> bytes:
    """A `.npy` file (of int8) that ends after its header."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


def one_at_a_time(count: int, state: int) -> tuple[list[int], int]:
    result = []
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        result.append(state >> 24)
    return result, state


@settings(deadline=None)
@given(st.integers(0, 10000), st.integers(0, 2**32 - 1))
def test_the_generator_equals_its_definition(count: int, state: int) -> None:
    data, after = lcg_bytes(count, state)
    assert (data.tolist(), after) == one_at_a_time(count, state)


def test_the_state_goes_on_from_input_to_input_and_run_to_run() -> None:
    graph = two_input_graph()
    expected, _ = one_at_a_time(10, 2)
    first, state = lcg_inputs(graph)
    second, _ = lcg_inputs(graph, state)
    flat = np.concatenate([a.reshape(-1) for a in (*first, *second)])
    assert flat.view(np.uint8).tolist() == expected
    assert [a.dtype for a in first] == [np.int8, np.int8]
    assert [a.shape for a in first] == [(1, 3), (1, 2)]


def test_float_inputs_are_finite() -> None:
    b = GraphBuilder("float")
    x = b.input("x", (1, 100), dtype=DType.FLOAT32)
    (array,), _ = lcg_inputs(b.build([b.quantize(x, 0.1, 0)]))
    assert array.dtype == np.float32
    assert np.abs(array).max() <= 1


def test_floats_are_rounded_away_from_zero_and_clamped() -> None:
    graph = image_graph()
    values = np.array([0.25, -0.25, 0.2499, 1000, -1000, 0], np.float32)
    assert quantize_array(values, graph.tensors[0]).tolist() == [-2, -4, -3, 127, -128, -3]


def save(path: Path, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Path:
    np.save(path, array)
    return path


@pytest.mark.parametrize("shape", [(1, 2, 3, 1), (2, 3, 1), (6,)])
def test_one_inference_may_come_in_any_natural_shape(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    path = save(tmp_path / "x.npy", np.arange(6, dtype=np.int8).reshape(shape))
    ((array,),) = load_inputs(image_graph(), path)
    assert array.shape == (1, 2, 3, 1)
    assert array.ravel().tolist() == [0, 1, 2, 3, 4, 5]


def test_several_inferences_lie_along_the_first_dimension(tmp_path: Path) -> None:
    path = save(tmp_path / "x.npy", np.arange(12, dtype=np.int16).reshape(2, 2, 3, 1))
    first, second = load_inputs(image_graph(), path)
    assert first[0].ravel().tolist() == [0, 1, 2, 3, 4, 5]
    assert second[0].ravel().tolist() == [6, 7, 8, 9, 10, 11]


def test_float_data_is_quantized_with_the_input_s_own_scale(tmp_path: Path) -> None:
    path = save(tmp_path / "x.npy", np.array([0, 0.5, 1, 1.5, 2, 2.5]))
    ((array,),) = load_inputs(image_graph(), path)
    assert array.ravel().tolist() == [-3, -2, -1, 0, 1, 2]


def test_archives_go_by_name(tmp_path: Path) -> None:
    path = tmp_path / "both.npz"
    np.savez(path, y=np.array([7, 8], np.int8), x=np.array([1, 2, 3], np.int8))
    ((x, y),) = load_inputs(two_input_graph(), path)
    assert (x.tolist(), y.tolist()) == ([[1, 2, 3]], [[7, 8]])


def test_raw_bytes_follow_the_order_of_the_inputs(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(bytes([1, 2, 3, 254, 255, 4, 5, 6, 7, 8]))
    first, second = load_inputs(two_input_graph(), path)
    assert [a.tolist() for a in first] == [[[1, 2, 3]], [[-2, -1]]]
    assert [a.tolist() for a in second] == [[[4, 5, 6]], [[7, 8]]]


def test_raw_float32_is_recognised_and_quantized(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(np.array([0, 0.5, 1, 1.5, 2, 2.5], "<f4").tobytes())
    ((array,),) = load_inputs(image_graph(), path)
    assert array.ravel().tolist() == [-3, -2, -1, 0, 1, 2]


def test_a_real_recording_is_taken_as_features(
    mlperf_tiny: Callable[[str], Path], shared_data: Path
) -> None:
    graph = read_tflite(mlperf_tiny("ad"))
    path = shared_data / "mlperf_tiny" / "ad_normal_id_01_00000000.bin"
    inferences = load_inputs(graph, path)
    assert len(inferences) == 40
    features = np.fromfile(path, "<f4", 640)
    expected = quantize_array(features, graph.tensors[graph.inputs[0]])
    np.testing.assert_array_equal(inferences[0][0].ravel(), expected)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros(5, np.int8), r"has shape \[5\]; \[1, 2, 3, 1\] is needed"),
        (np.zeros((0, 2, 3, 1), np.int8), "is empty"),
        (np.array([0, 1, 2, 3, 4, np.nan]), "NaN or infinity"),
        (np.array([0, 1, 2, 3, 4, np.inf], np.float32), "NaN or infinity"),
        (np.arange(6) * 100, r"values 0\.\.500 outside int8"),
        (np.zeros(6, np.complex64), "is complex64; the model takes int8"),
        (np.array(["a"] * 6), "the model takes int8"),
    ],
)
def test_arrays_that_do_not_fit(
    tmp_path: Path, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], said: str
) -> None:
    with pytest.raises(InputDataError, match=said):
        load_inputs(image_graph(), save(tmp_path / "x.npy", array))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.bin", b"", "is empty"),
        ("x.bin", bytes(7), r"7 bytes; the model's inputs take 6 bytes .*24 as float32"),
        ("x.npy", b"not numpy", "cannot be read as .npy"),
        ("x.npy", npy_header("(6,)", "|O") + b"\x80\x04N.", "cannot be read as .npy"),
        ("x.csv", b"1,2,3\n", "not one of .npy, .npz and .bin"),
        ("x", bytes(6), "not one of .npy, .npz and .bin"),
        ("x.npy", b"", "cannot be read as .npy"),
        ("x.npz", b"PK\x03\x04rubbish", "cannot be read as .npz"),
        ("x.npz", b"rubbish", "cannot be read as .npz"),
        ("x.npy", npy_header("(1099511627776, 8, 8, 1)"), "cannot be read as .npy"),
        ("x.npy", npy_header("((6,)"), "cannot be read as .npy"),
    ],
)
def test_files_that_are_not_what_they_say(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputDataError, match=said) as caught:
        load_inputs(image_graph(), path)
    assert "pickle" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "x.npy").mkdir()
    for path in (tmp_path, tmp_path / "x.npy"):
        with pytest.raises(InputDataError, match=r": a folder; name a .npy") as caught:
            load_inputs(image_graph(), path)
        assert "Errno" not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4))
def test_no_damage_to_an_archive_makes_reading_it_fail_otherwise(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "x.npz"
    np.savez_compressed(path, x=np.zeros((2, 3), np.int8), y=np.zeros((2, 2), np.int8))
    content = bytearray(path.read_bytes())
    for at, value in changes:
        content[at % len(content)] = value
    path.write_bytes(content)
    # Any other exception fails the test.
    with contextlib.suppress(InputDataError):
        assert len(load_inputs(two_input_graph(), path)) == 2


def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.zeros(100_000, np.int8))
    monkeypatch.setattr(inputs, "MOST_DATA_BYTES", 50_000)
    with pytest.raises(InputDataError, match="bytes unpacked are too large"):
        load_inputs(image_graph(), path)


def test_unnamed_arrays_go_by_their_number(tmp_path: Path) -> None:
    path = tmp_path / "both.npz"
    np.savez(path, arr_1=np.zeros(2, np.int8), arr_0=np.ones(3, np.int8))
    ((first, second),) = load_inputs(two_input_graph(), path)
    assert (first.tolist(), second.tolist()) == ([[1, 1, 1]], [[0, 0]])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match=r"absent\.npy: no such file"):
        load_inputs(image_graph(), tmp_path / "absent.npy")


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(InputDataError, match="cannot be read"):
        load_inputs(image_graph(), path)


def test_archives_with_other_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "both.npz"
    np.savez(path, a=np.zeros(3, np.int8), b=np.zeros(2, np.int8))
    with pytest.raises(InputDataError, match=r"has arrays \['a', 'b'\]; .*\['x', 'y'\]"):
        load_inputs(two_input_graph(), path)


def test_unequal_numbers_of_inferences_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "both.npz"
    np.savez(path, x=np.zeros((2, 3), np.int8), y=np.zeros((3, 2), np.int8))
    with pytest.raises(InputDataError, match=r"hold \[2, 3\] inferences"):
        load_inputs(two_input_graph(), path)
