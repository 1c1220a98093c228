"""The build attributes that an Arm object file carries: which core and which FPU it was made for.

Source: Addenda to, and Errata in, the ABI for the Arm Architecture (IHI 0045), 2.2 and 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_boards.elf import Elf
from edge_boards.errors import ImageError

SECTION = ".ARM.attributes"
_CPU_ARCH, _FP_ARCH, _HARD_FP_USE, _VFP_ARGS = 6, 10, 27, 28
_FPV5 = (7, 8)  # Tag_FP_arch: FP for Armv8, FPv5/FP-D16 for Armv8
_FILE = 1
_TEXTS = (4, 5)  # below 32 only these are strings; from 32 on odd tags are
_COMPATIBILITY = 32

ARCHITECTURES: Mapping[int, str] = {
    10: "v7", 11: "v6-M", 12: "v6S-M", 13: "v7E-M", 16: "v8-M.base", 17: "v8-M.main",
    21: "v8.1-M.main",
}  # fmt: skip
"""Tag_CPU_arch's values for cores of profile M."""


@dataclass(frozen=True)
class ArmAttributes:
    """What is needed of them to tell whether two objects go together."""

    cpu_arch: int
    fpu: bool
    fpv5: bool  # its FPU code may be of Armv8's, which an FPv4 lacks
    single_only: bool  # its FPU code keeps to single precision
    hard_float: bool  # floats are passed in FPU registers

    @property
    def architecture(self) -> str:
        return ARCHITECTURES.get(self.cpu_arch, f"architecture {self.cpu_arch}")


def read_attributes(elf: Elf) -> ArmAttributes | None:
    """An object's attributes, None where it carries none. Raises `ImageError` when damaged."""
    section = elf.section(SECTION)
    if section is None:
        return None
    tags = _file_tags(elf.section_bytes(section))
    return ArmAttributes(
        cpu_arch=tags.get(_CPU_ARCH, 0),
        fpu=tags.get(_FP_ARCH, 0) != 0,
        fpv5=tags.get(_FP_ARCH, 0) in _FPV5,
        single_only=tags.get(_HARD_FP_USE, 0) == 1,
        hard_float=tags.get(_VFP_ARGS, 0) == 1,
    )


def _file_tags(data: bytes) -> dict[int, int]:
    """The numbers of the file's own subsection, by tag."""
    if data[:1] != b"A":
        raise ImageError(f"{SECTION}: an unknown format ({data[:1].hex()})")
    at = 1
    found: dict[int, int] = {}
    try:
        while at < len(data):
            size = int.from_bytes(data[at : at + 4], "little")
            if size < 5 or at + size > len(data):
                raise ImageError(f"{SECTION}: {size} bytes at {at} lie outside it")
            body = data[at + 4 : at + size]
            vendor, _, rest = body.partition(b"\0")
            if vendor == b"aeabi":
                found |= _subsections(rest)
            at += size
    except IndexError:
        raise ImageError(f"{SECTION}: cut short") from None
    return found


def _subsections(data: bytes) -> dict[int, int]:
    found: dict[int, int] = {}
    at = 0
    while at < len(data):
        tag, size = data[at], int.from_bytes(data[at + 1 : at + 5], "little")
        if size < 5:
            raise ImageError(f"{SECTION}: a subsection of {size} bytes")
        if tag == _FILE:
            found |= _tags(data[at + 5 : at + size])
        at += size
    return found


def _tags(data: bytes) -> dict[int, int]:
    found: dict[int, int] = {}
    at = 0
    while at < len(data):
        tag, at = _uleb(data, at)
        if tag == _COMPATIBILITY:
            _, at = _uleb(data, at)
        if tag == _COMPATIBILITY or tag in _TEXTS or (tag > _COMPATIBILITY and tag % 2):
            at = data.index(b"\0", at) + 1 if b"\0" in data[at:] else len(data)
        else:
            found[tag], at = _uleb(data, at)
    return found


def _uleb(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
