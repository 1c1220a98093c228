"""Inputs for a model: pseudo-random ones, and a user's data files.

The generator is the one that published instruction counts use, and the firmware can fill inputs
by it too: `x = x * 1664525 + 1013904223 mod 2^32; byte = x >> 24`, one step a byte.
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InputDataError
from .graph.model import DType, Graph, Tensor

LCG_MULTIPLIER = 1664525
LCG_INCREMENT = 1013904223
LCG_SEED = 2
_BLOCK = 4096
_MASK = 0xFFFFFFFF
MOST_DATA_BYTES = 1 << 30

Arrays = tuple[npt.NDArray[np.generic], ...]


def _jumps() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """(a, c) for which `x -> a[k] * x + c[k]` makes k + 1 steps at once."""
    multipliers, increments = np.empty(_BLOCK, np.uint64), np.empty(_BLOCK, np.uint64)
    a, c = 1, 0
    for k in range(_BLOCK):
        a, c = a * LCG_MULTIPLIER & _MASK, (c * LCG_MULTIPLIER + LCG_INCREMENT) & _MASK
        multipliers[k], increments[k] = a, c
    return multipliers, increments


_MULTIPLIERS, _INCREMENTS = _jumps()


def lcg_bytes(count: int, state: int = LCG_SEED) -> tuple[npt.NDArray[np.uint8], int]:
    """`count` bytes of the generator and the state after them."""
    result = np.empty(count, np.uint8)
    for start in range(0, count, _BLOCK):
        size = min(_BLOCK, count - start)
        states = (_MULTIPLIERS[:size] * np.uint64(state) + _INCREMENTS[:size]) & np.uint64(_MASK)
        result[start : start + size] = states >> np.uint64(24)
        state = int(states[-1])
    return result, state


def lcg_inputs(graph: Graph, state: int = LCG_SEED) -> tuple[Arrays, int]:
    """One pseudo-random array for each input, in the model's order, and the state after.

    Integer inputs take the bytes as they come (little-endian). A float32 input takes one byte an
    element, as int8 / 128, so that the numbers are finite and of a model's usual size.
    """
    arrays = []
    for index in graph.inputs:
        tensor = graph.tensors[index]
        if tensor.dtype is DType.FLOAT32:
            raw, state = lcg_bytes(tensor.elements, state)
            arrays.append((raw.view(np.int8).astype(np.float32) / 128).reshape(tensor.shape))
        elif tensor.dtype.numpy.kind in "iu" and not tensor.dtype.opaque:
            raw, state = lcg_bytes(tensor.nbytes, state)
            arrays.append(raw.view(tensor.dtype.numpy.newbyteorder("<")).reshape(tensor.shape))
        else:
            raise InputDataError(
                f"input '{tensor.name}' is {tensor.dtype.value}: no pseudo-random data for it"
            )
    return tuple(arrays), state


def quantize_array(
    values: npt.NDArray[np.floating[Any]], tensor: Tensor
) -> npt.NDArray[np.signedinteger[Any]]:
    """Real values as the int8 or int16 that `tensor` holds: round half away from zero, then
    clamp."""
    if tensor.quantization is None:
        raise InputDataError(f"input '{tensor.name}' has no scale to quantize float data with")
    # The division in float32 and this rounding are those of TensorFlow Lite's QUANTIZE.
    scaled = values.astype(np.float32) / np.float32(tensor.quantization.scale)
    exact = scaled.astype(np.float64)
    rounded = np.copysign(np.floor(np.abs(exact) + 0.5), exact) + tensor.quantization.zero_point
    limits = np.iinfo(tensor.dtype.value)
    quantized: npt.NDArray[np.signedinteger[Any]] = np.clip(rounded, limits.min, limits.max).astype(
        tensor.dtype.numpy
    )
    return quantized


def load_inputs(graph: Graph, path: Path) -> tuple[Arrays, ...]:
    """The inferences a data file holds, each with one array for each of the model's inputs.

    `.npy`: one input; `.npz`: arrays by input name, or in order; `.bin`: raw bytes in the
    model's input order. Every file may hold several inferences: a leading dimension (or, for
    raw bytes, a whole multiple of the size). Float data for an int8 or int16 input is quantized
    with the input's scale and zero point; raw bytes of as many float32 are taken as that.

    Raises InputDataError: file missing or unreadable, wrong size, shape or type, NaN.
    """
    found = read_data(path)
    if isinstance(found, bytes):
        return _raw(graph, found, path)
    arrays = list(found.values()) if path.suffix == ".npy" else _by_name(graph, found, path)
    if len(arrays) != len(graph.inputs):
        raise InputDataError(
            f"{path}: {len(arrays)} arrays for a model with {len(graph.inputs)} inputs"
        )
    batches = [
        _batched(graph.tensors[index], array, path)
        for index, array in zip(graph.inputs, arrays, strict=True)
    ]
    return _together(batches, path)


# What numpy and zipfile raise for pickles and for a file that is damaged, or is not what its suffix
# says. The last five are for damaged headers, which may also claim more memory than there is.
_DAMAGE = (
    ValueError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    MemoryError,
    OverflowError,
    SyntaxError,
    TypeError,
    tokenize.TokenError,
)


def read_data(path: Path, beside: str = "") -> bytes | dict[str, npt.NDArray[Any]]:
    """The arrays of a `.npz`, by name, or the only one of a `.npy` (its name is empty); a `.bin`'s
    content. Raises InputDataError: missing, unreadable, damaged, or over a GiB;
    `beside` is what else the caller takes."""
    if path.is_dir():
        raise InputDataError(f"{path}: a folder; name a .npy, .npz or .bin file in it")
    try:
        size = path.stat().st_size
        if path.suffix not in (".npy", ".npz", ".bin"):
            raise InputDataError(
                f"{path}: not one of .npy, .npz and .bin (raw bytes, as the model takes them)"
                f"{beside}"
            )
        if size > MOST_DATA_BYTES:
            raise InputDataError(f"{path}: {size} bytes are too large for input data")
        if path.suffix == ".npy":
            return {"": np.load(path, allow_pickle=False)}
        if path.suffix != ".npz":
            return path.read_bytes()
        with np.load(path, allow_pickle=False) as archive:
            unpacked = sum(member.file_size for member in archive.zip.infolist())
            if unpacked > MOST_DATA_BYTES:
                raise InputDataError(f"{path}: {unpacked} bytes unpacked are too large")
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise InputDataError(f"{path}: no such file") from error
    except OSError as error:
        raise InputDataError(f"{path}: {error.strerror or 'cannot be read'}") from error
    except _DAMAGE as error:
        # Numpy's own words would advise its callers, not whoever has the file.
        raise InputDataError(
            f"{path}: cannot be read as {path.suffix} data: damaged, of Python objects, or "
            "something else under that name"
        ) from error


def _by_name(
    graph: Graph, arrays: Mapping[str, npt.NDArray[Any]], path: Path
) -> list[npt.NDArray[Any]]:
    names = [graph.tensors[index].name for index in graph.inputs]
    if set(names) == set(arrays):
        return [arrays[name] for name in names]
    unnamed = [f"arr_{i}" for i in range(len(names))]  # as numpy.savez calls them
    if set(unnamed) == set(arrays):
        return [arrays[name] for name in unnamed]
    if len(arrays) == len(names) == 1:
        return list(arrays.values())
    raise InputDataError(f"{path}: has arrays {sorted(arrays)}; the model's inputs are {names}")


def _batched(tensor: Tensor, array: npt.NDArray[Any], path: Path) -> Arrays:
    """An array as a sequence of inputs for `tensor`."""
    where = f"{path}: input '{tensor.name}'"
    elements = tensor.elements
    inner = tensor.shape[1:] if tensor.shape[:1] == (1,) else tensor.shape
    whole = array.shape in (tensor.shape, inner, (elements,))
    several = array.ndim > 0 and array.shape[1:] in (tensor.shape, inner, (elements,))
    if not whole and not several:
        raise InputDataError(
            f"{where}: has shape {list(array.shape)}; {list(tensor.shape)} is needed, or several "
            "of them along a leading dimension"
        )
    if array.size == 0:
        raise InputDataError(f"{where}: is empty")
    typed = _typed(tensor, array, where)
    return tuple(typed.reshape(-1, *tensor.shape))


def _typed(tensor: Tensor, array: npt.NDArray[Any], where: str) -> npt.NDArray[np.generic]:
    wanted = tensor.dtype.numpy
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise InputDataError(f"{where}: holds NaN or infinity")
        if tensor.dtype in (DType.INT8, DType.INT16):
            return quantize_array(array, tensor)
        if tensor.dtype is DType.FLOAT32:
            return array.astype(np.float32)
    if array.dtype.kind in "iu" and wanted.kind in "iu":
        limits = np.iinfo(wanted.name)
        if array.min() < limits.min or array.max() > limits.max:
            raise InputDataError(
                f"{where}: holds values {array.min()}..{array.max()} outside {wanted.name}; "
                "give the numbers the model takes, or float data to be quantized"
            )
        return array.astype(wanted)
    raise InputDataError(f"{where}: is {array.dtype}; the model takes {wanted}")


def _raw(graph: Graph, content: bytes, path: Path) -> tuple[Arrays, ...]:
    tensors = [graph.tensors[index] for index in graph.inputs]
    native = sum(tensor.nbytes for tensor in tensors)
    floats = 4 * sum(tensor.elements for tensor in tensors)
    if not content:
        raise InputDataError(f"{path}: is empty")
    # The model's own types first; a size that fits both is read as those.
    as_float = len(content) % native != 0 or _looks_float(content, native, floats)
    size = floats if as_float else native
    if len(content) % size:
        raise InputDataError(
            f"{path}: {len(content)} bytes; the model's inputs take {native} bytes an inference "
            f"({floats} as float32)"
        )
    inferences = []
    for start in range(0, len(content), size):
        offset, arrays = start, []
        for tensor in tensors:
            dtype = np.dtype("<f4") if as_float else tensor.dtype.numpy.newbyteorder("<")
            data = np.frombuffer(content, dtype, tensor.elements, offset).reshape(tensor.shape)
            arrays.append(_typed(tensor, data, f"{path}: input '{tensor.name}'"))
            offset += data.nbytes
        inferences.append(tuple(arrays))
    return tuple(inferences)


def _looks_float(content: bytes, native: int, floats: int) -> bool:
    """Whether content of both sizes is float32: finite, and no extreme exponent anywhere."""
    if native == floats or len(content) % floats:
        return False
    values = np.abs(np.frombuffer(content, "<f4"))
    plain = (values == 0) | ((values > 1e-9) & (values < 1e9))
    return bool(plain.all() and values.any())


def _together(batches: Sequence[Arrays], path: Path) -> tuple[Arrays, ...]:
    counts = {len(batch) for batch in batches}
    if len(counts) > 1:
        raise InputDataError(f"{path}: the arrays hold {sorted(counts)} inferences; equal numbers")
    return tuple(zip(*batches, strict=True))
