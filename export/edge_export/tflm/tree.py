"""A TFLM that the user has: headers, and the static library that TFLM's own Makefile makes.

Nothing of TFLM is shipped here, so what is found is looked at before anything is compiled with
it: a library for another core, another float ABI or without the kernels that an arena was stated
for links without a word and then faults, or needs more memory than was said.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edge_boards.archive import Archive
from edge_boards.armattributes import ArmAttributes, read_attributes
from edge_boards.board import Board, Core
from edge_boards.elf import Elf
from edge_boards.errors import ImageError
from edge_boards.platformio.ini import by_framework
from edge_boards.toolchain import Library
from edge_export.errors import TflmTreeError

ENVIRONMENT = "EDGE_AUTOGLM_TFLM"
"""Names a tree where no option does."""

LIBRARY = "libtensorflow-microlite.a"
MAKEFILE = "tensorflow/lite/micro/tools/make/Makefile"
CMSIS_NN, REFERENCE = "cmsis-nn", "reference"
KERNELS = (CMSIS_NN, REFERENCE)

_CMSIS_NN_FOLDER = "cmsis_nn"
_INTERPRETER = "tensorflow/lite/micro/micro_interpreter.h"
_RESOLVER = "tensorflow/lite/micro/micro_mutable_op_resolver.h"
# What the generated code and its adapter use, where a tree of another age has it differently.
_NEEDED = {
    "tensorflow/lite/micro/micro_profiler_interface.h": ("BeginEvent", "EndEvent"),
    _INTERPRETER: ("MicroProfilerInterface", "arena_used_bytes", "context()"),
    _RESOLVER: ("TFLMRegistration",),
    "tensorflow/lite/micro/micro_allocator.h": ("MicroMemoryPlanner* memory_planner",),
    "tensorflow/lite/micro/memory_planner/micro_memory_planner.h": (
        "GetOffsetForBuffer",
        "preserves_all_tensors",
    ),
    "tensorflow/lite/micro/debug_log.h": ("va_list",),
}
_DOWNLOADS = "tensorflow/lite/micro/tools/make/downloads"
# Other people's headers: below the Makefile's downloads, or below third_party of a generated tree.
_HEADERS = {
    "flatbuffers/flatbuffers.h": "flatbuffers/include",
    "fixedpoint/fixedpoint.h": "gemmlowp",
    "ruy/profiler/instrumentation.h": "ruy",
}
HEADER_FOLDERS = tuple(_HEADERS.values())
"""Folders of other people's headers, below the Makefile's downloads."""

_ARCHITECTURE = {
    "cortex-m0": (11, 12), "cortex-m0plus": (11, 12), "cortex-m3": (11, 12, 10),
    "cortex-m4": (11, 12, 10, 13), "cortex-m7": (11, 12, 10, 13), "cortex-m23": (16,),
    "cortex-m33": (16, 17), "cortex-m55": (16, 17, 21), "cortex-m85": (16, 17, 21),
}  # fmt: skip
_HELIUM = ("cortex-m55", "cortex-m85")
_SYMBOL_LOG = "_Z11MicroPrintfPKcz"
_SYMBOL_CMSIS_NN = "arm_convolve_s8"
_SYMBOL_TFLM = "_ZN6tflite16MicroInterpreter15AllocateTensorsEv"


@dataclass(frozen=True)
class TflmTree:
    """A tree and the one library of it that goes with a board.

    `kernels` is one of KERNELS; `by_op` says whether the library tells its ops apart while it runs.
    """

    root: Path
    library: Library
    kernels: str
    by_op: bool

    def describe(self) -> str:
        how = "CMSIS-NN" if self.kernels == CMSIS_NN else "reference kernels"
        return f"TFLM with {how} ({self.library.archive.parent.parent.name})"


def default_kernels(core: Core) -> str:
    """CMSIS-NN is for Cortex-M alone."""
    return CMSIS_NN if is_arm(core) else REFERENCE


def is_arm(core: Core) -> bool:
    """Whether CMSIS-NN, the Makefile's generic target and `arena.arena_of` know the core."""
    return core.name.startswith("cortex-m")


def make_command(core: Core, kernels: str = CMSIS_NN) -> str:
    """The command that makes the library for a core, from the root of a tflite-micro checkout;
    empty for a core that the Makefile's generic target does not know."""
    if not is_arm(core):
        return ""
    words = [f"make -f {MAKEFILE} TARGET=cortex_m_generic TARGET_ARCH={_target_arch(core)}"]
    if core.fpu and "+fp" in words[0]:
        # Else GCC's own choice for a Cortex-M7 is a double-precision FPU.
        words.append(f"FPU={core.fpu}")
    if kernels == CMSIS_NN:
        words.append(f"OPTIMIZED_KERNEL_DIR={_CMSIS_NN_FOLDER}")
    return " ".join([*words, "microlite"])


def kernel_set(core: Core, kernels: str) -> str:
    """The row of `arena.KERNEL_SETS`: CMSIS-NN has code of its own for each kind of core."""
    if kernels != CMSIS_NN:
        return kernels
    if core.name in _HELIUM:  # TARGET_ARCH brings it, whatever our own kernels use
        return f"{CMSIS_NN}-mve"
    return CMSIS_NN if "dsp" in core.features else f"{CMSIS_NN}-scalar"


def library_folder(core: Core, kernels: str = CMSIS_NN) -> str:
    """Where that command leaves the library, from the same root."""
    if not is_arm(core):
        return "lib"
    kind = f"_{_CMSIS_NN_FOLDER}" if kernels == CMSIS_NN else ""
    return f"gen/cortex_m_generic_{_target_arch(core)}_default{kind}_gcc/lib"


def _target_arch(core: Core) -> str:
    """TARGET_ARCH of cortex_m_generic."""
    if core.name in ("cortex-m4", "cortex-m7"):
        return core.name + ("+fp" if core.fpu else "")
    if core.name == "cortex-m33" and "dsp" not in core.features:
        return "cortex-m33+nodsp"
    return core.name


def wanted_files(board: Board, kernels: str = CMSIS_NN) -> list[str]:
    """What a build needs and does not have yet, line by line."""
    make = make_command(board.core, kernels)
    by_pio = "TFLM as a PlatformIO library, in lib_deps of platformio.ini"
    if not make:
        return [f"{by_pio}, for {board.core.name}"]
    wanted = [
        "a checkout of https://github.com/tensorflow/tflite-micro",
        f"its library for {board.core.name}, made there by: {make}",
    ]
    if by_framework(board):
        return [*wanted, f"then `pio run` with {ENVIRONMENT}=DIR, that checkout", f"or {by_pio}"]
    return [*wanted, f"then: --tflm DIR, or {ENVIRONMENT}=DIR, where DIR is that checkout"]


def tree_from_environment() -> Path | None:
    """The tree that the environment names, if any."""
    named = os.environ.get(ENVIRONMENT)
    return Path(named) if named else None


def look_at_tree(directory: Path) -> tuple[Path, int]:
    """The root of the TFLM tree that `directory` is or lies in, and how many libraries it has.

    Raises TflmTreeError where it is none, or one of another age.
    """
    root = _root(directory)
    _check_headers(root, ())
    return root, len(_archives(root))


def find_tree(
    directory: Path, board: Board, kernels: str = CMSIS_NN, symbols: Iterable[str] = ()
) -> TflmTree:
    """The library below `directory` for `board`, and the headers that go with it.

    `directory` is the root of a TFLM tree, or a folder inside it (one of several `gen/...`), whose
    libraries alone are then looked at. `symbols` are methods of the op resolver and registrations
    that its headers must have.
    Raises TflmTreeError.
    """
    root = _root(directory)
    if not is_arm(board.core):
        raise TflmTreeError(
            f"{directory}: libraries of TFLM's Makefile are for Arm here; a build for {board.name} "
            "needs " + "; ".join(wanted_files(board, kernels))
        )
    _check_headers(root, symbols)
    archives = sorted({*directory.rglob(LIBRARY)}) if directory != root else _archives(root)
    if not archives:
        raise TflmTreeError(
            f"{directory}: no {LIBRARY} there; make it: {make_command(board.core, kernels)}"
        )
    judged = [(_fault(facts, board, kernels), facts) for facts in map(_facts, archives)]
    good = [facts for fault, facts in judged if not fault]
    if not good:
        # The one that comes nearest: what is wrong with it comes last of all that is looked at.
        order = _FAULTS
        fault, facts = max(judged, key=lambda pair: order.index(pair[0].kind) if pair[0] else 0)
        assert fault is not None
        raise TflmTreeError(f"{facts.archive}: {fault.words}")
    best = max(good, key=lambda facts: (facts.by_op, str(facts.archive)))
    defines = ["TF_LITE_STATIC_MEMORY", "TF_LITE_MCU_DEBUG_LOG"]
    if best.kernels == CMSIS_NN:
        defines.append("CMSIS_NN")
    if not best.by_op:
        defines += ["TF_LITE_STRIP_ERROR_STRINGS", "NDEBUG"]
    library = Library(
        name="tflm",
        archive=best.archive,
        include_dirs=(root, *_header_folders(root)),
        defines=tuple(defines),
        adapter="tflm",
        # Scales, while it prepares its operators; no inference of integers comes near it.
        soft_double=True,
    )
    return TflmTree(root, library, best.kernels, best.by_op)


def _root(directory: Path) -> Path:
    if not directory.is_dir():
        kind = "is a file" if directory.is_file() else "no such folder"
        raise TflmTreeError(f"--tflm {directory}: {kind}; name the root of a tflite-micro checkout")
    here = directory.resolve()
    for folder in (here, *here.parents):
        if (folder / _INTERPRETER).is_file():
            return directory if folder == here else folder
    raise TflmTreeError(
        f"{directory}: no TFLM there ({_INTERPRETER} is missing); name the root of a tflite-micro "
        "checkout"
    )


def _archives(root: Path) -> list[Path]:
    """Where Makefile and packagers put libraries; a whole checkout has 10,000 files to look at."""
    patterns = (f"gen/*/lib/{LIBRARY}", f"lib/{LIBRARY}", f"lib/*/{LIBRARY}", LIBRARY)
    return sorted({path for pattern in patterns for path in root.glob(pattern)})


def _check_headers(root: Path, symbols: Iterable[str]) -> None:
    for name, words in _NEEDED.items():
        text = _text(root / name)
        missing = [word for word in words if word not in text]
        if missing:
            raise TflmTreeError(
                f"{root}: a TFLM of another version: {name} "
                + ("is missing" if not text else f"has no {missing[0]}")
                + "; use a checkout of 2024 or later"
            )
    kernels = (root / _RESOLVER).parent / "kernels"
    known = "".join(map(_text, (root / _RESOLVER, *sorted(kernels.glob("*.h")))))
    absent = [symbol for symbol in symbols if f"{symbol}(" not in known]
    if absent:
        raise TflmTreeError(
            f"{root}: a TFLM of another version: its op resolver knows no {', '.join(absent)}; "
            "use a newer checkout"
        )
    _header_folders(root)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _header_folders(root: Path) -> tuple[Path, ...]:
    found = []
    for header, below in _HEADERS.items():
        places = (f"{_DOWNLOADS}/{below}", f"third_party/{below}")
        folder = next((root / p for p in places if (root / p / header).is_file()), None)
        if folder is None:
            raise TflmTreeError(
                f"{root}: {header} is missing; TFLM's Makefile fetches it: "
                f"make -f {MAKEFILE} third_party_downloads"
            )
        found.append(folder)
    return tuple(found)


@dataclass(frozen=True)
class _Facts:
    """What an archive is."""

    archive: Path
    attributes: tuple[ArmAttributes, ...]
    is_tflm: bool
    kernels: str
    by_op: bool
    damage: str = ""


@dataclass(frozen=True)
class _Fault:
    kind: str
    words: str


_FAULTS = ("damaged", "foreign", "core", "abi", "fpu", "kernels")
"""What can be wrong with a library, in the order in which it is looked at."""


@cache
def _facts_of(archive: Path, _modified: int) -> _Facts:
    try:
        content = Archive.load(archive)
        attributes = {read_attributes(Elf(m.content, m.name)) for m in content.members}
        symbols = content.symbols
    except ImageError as error:
        return _Facts(archive, (), False, "", False, str(error).removeprefix(f"{archive}: "))
    known = sorted((a for a in attributes if a is not None), key=repr)
    return _Facts(
        archive=archive,
        attributes=tuple(known),
        is_tflm=_SYMBOL_TFLM in symbols,
        kernels=CMSIS_NN if _SYMBOL_CMSIS_NN in symbols else REFERENCE,
        by_op=_SYMBOL_LOG in symbols,
    )


def _facts(archive: Path) -> _Facts:
    return _facts_of(archive, archive.stat().st_mtime_ns)


def _fault(facts: _Facts, board: Board, kernels: str) -> _Fault | None:
    """The first thing that is wrong with a library for a board."""
    core = board.core
    make = f"make it anew: {make_command(core, kernels)}"
    if facts.damage:
        return _Fault("damaged", f"{facts.damage}; {make}")
    if not facts.is_tflm or not facts.attributes:
        return _Fault("foreign", f"not TFLM for an Arm core; {make}")
    allowed = _ARCHITECTURE.get(core.name, ())
    for made in facts.attributes:
        if made.cpu_arch not in allowed:
            return _Fault(
                "core", f"built for {made.architecture}, which {core.name} is not; {make}"
            )
        if made.hard_float != (core.fpu is not None):
            is_, wants = ("hard", "soft") if made.hard_float else ("soft", "hard")
            return _Fault(
                "abi", f"built for -mfloat-abi={is_}, and {board.name} is built for {wants}; {make}"
            )
        if core.fpu and core.fpu.startswith("fpv4") and made.fpv5:
            return _Fault(
                "fpu",
                f"built for an FPv5 FPU, and {board.soc.name}'s is an FPv4; {make}",
            )
        if core.fpu and "-sp-" in core.fpu and made.fpu and not made.single_only:
            return _Fault(
                "fpu",
                f"built for a double-precision FPU, and {board.soc.name} faults on its "
                f"instructions; {make}",
            )
    if facts.kernels != kernels:
        wrong = "has no CMSIS-NN" if kernels == CMSIS_NN else "has CMSIS-NN"
        return _Fault(
            "kernels",
            f"{wrong}, and the arena was stated for {kernels} kernels; {make}, "
            f"or export with --kernels {facts.kernels}",
        )
    return None
