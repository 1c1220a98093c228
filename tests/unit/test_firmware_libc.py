"""The board's memcpy, memmove, memset and memcmp do what the host's do, at every alignment."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_boards import data_path
from edge_boards.toolchain import find_host_compiler

ROOM = 200
NAMES = ("memcpy", "memmove", "memset", "memcmp")
offsets = st.integers(0, 40)
counts = st.integers(0, 90)
blocks = st.binary(min_size=ROOM, max_size=ROOM)


@pytest.fixture(scope="module")
def libc(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    output: Path = tmp_path_factory.mktemp("libc") / "libc.so"
    find_host_compiler().shared_library(
        [data_path("firmware", "runtime", "eag_libc.c")],
        output,
        flags=("-O2", "-ffreestanding", "-fno-builtin", *(f"-D{n}=eag_test_{n}" for n in NAMES)),
    )
    return ctypes.CDLL(str(output))


def room(content: bytes) -> tuple[ctypes.Array[ctypes.c_char], int]:
    """Memory aligned to 64 bytes, and its address."""
    buffer = ctypes.create_string_buffer(ROOM + 64)
    address = -(-ctypes.addressof(buffer) // 64) * 64
    ctypes.memmove(address, content, ROOM)
    return buffer, address


@given(content=blocks, source=blocks, to=offsets, start=offsets, count=counts)
def test_memcpy(
    libc: ctypes.CDLL, content: bytes, source: bytes, to: int, start: int, count: int
) -> None:
    keep, target = room(content)
    also, origin = room(source)
    pointers = (ctypes.c_void_p(target + to), ctypes.c_void_p(origin + start))
    libc.eag_test_memcpy(*pointers, ctypes.c_size_t(count))
    expected = content[:to] + source[start : start + count] + content[to + count :]
    assert ctypes.string_at(target, ROOM) == expected
    assert len(keep) == len(also)


@given(content=blocks, to=offsets, start=offsets, count=counts)
def test_memmove_within_one_block(
    libc: ctypes.CDLL, content: bytes, to: int, start: int, count: int
) -> None:
    keep, base = room(content)
    pointers = (ctypes.c_void_p(base + to), ctypes.c_void_p(base + start))
    libc.eag_test_memmove(*pointers, ctypes.c_size_t(count))
    expected = content[:to] + content[start : start + count] + content[to + count :]
    assert ctypes.string_at(base, ROOM) == expected
    assert len(keep) >= ROOM


@given(content=blocks, to=offsets, count=counts, value=st.integers(-300, 300))
def test_memset(libc: ctypes.CDLL, content: bytes, to: int, count: int, value: int) -> None:
    keep, base = room(content)
    libc.eag_test_memset(ctypes.c_void_p(base + to), ctypes.c_int(value), ctypes.c_size_t(count))
    expected = content[:to] + bytes([value & 255]) * count + content[to + count :]
    assert ctypes.string_at(base, ROOM) == expected
    assert len(keep) >= ROOM


@given(left=st.binary(max_size=40), right=st.binary(max_size=40), same=st.binary(max_size=40))
def test_memcmp(libc: ctypes.CDLL, left: bytes, right: bytes, same: bytes) -> None:
    a, b = same + left, same + right
    count = min(len(a), len(b))
    order = libc.eag_test_memcmp(a, b, ctypes.c_size_t(count))
    assert (order > 0) - (order < 0) == (a[:count] > b[:count]) - (a[:count] < b[:count])
