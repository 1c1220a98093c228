"""How much flash the code of an image takes, from sizes measured once for each compiler and board.

An image is its base (start code, runtime, port, the profile app), the kernels it calls, the
generated steps, and the constants. The base is measured by linking a model that computes nothing;
a kernel by compiling its C file and adding up the sections that can be reached from its function;
parameter structs by compiling `sizeof`. The sizes stand in a table beside this module, each with a
digest of what it was measured from; what the table lacks, or has of other sources, is measured with
the board's compiler where one is installed.

    python -m edge_autoglm.search.codesize            # writes the table again, for gcc
    python -m edge_autoglm.search.codesize --check    # the model against built MLPerf images
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from edge_boards import Board
from edge_boards.data import data_path
from edge_boards.elf import SHN_UNDEF, Elf
from edge_boards.errors import BoardsError, ToolchainError
from edge_boards.ports import port_folders
from edge_boards.schema import OTHER_CORES
from edge_boards.toolchain import BuildRequest, Toolchain, build_image, find_toolchain
from edge_boards.toolchain.compiler import CompileJob, compile_objects
from edge_boards.toolchain.gcc import target_flags
from edge_export import compile_model
from edge_export.aot.program import Program
from edge_export.kernels.row import KernelRow
from edge_export.kernels.table import KERNELS
from edge_quantize.graph import Graph
from edge_quantize.graph.builder import GraphBuilder

TABLE = Path(__file__).with_name("code_sizes.json")
APP = "profile"
LIBC = "eag_libc.c"

# The generated C beside its parameter structs, as gcc -O2 makes it: a step is its address in the
# table, a call with the addresses of its arguments as literals, and alignment; a model its header.
STEP_BYTES, OPERAND_BYTES, MODEL_BYTES, PORT_BYTES = 20, 4, 188, 8


@dataclass(frozen=True)
class CodeSizes:
    """Bytes of code on one board. `kernels` by function, `structs` by C type.

    `base` is the flash of an image whose model computes nothing, less what `generated_bytes` says
    of that model; `static_ram` what such an image takes of RAM beside stack and arena. `source`
    says where the figures are from.
    """

    base: int
    static_ram: int
    kernels: Mapping[str, int]
    structs: Mapping[str, int]
    source: str

    def code(self, program: Program, description_bytes: int) -> int:
        """Flash of an image less the model's constants. Raises KeyError for an unknown kernel."""
        kernels = {step.kernel for step in program.steps}
        return (
            self.base
            + sum(self.kernels[name] for name in kernels)
            + generated_bytes(program, self.structs, description_bytes)
        )


def generated_bytes(program: Program, structs: Mapping[str, int], description_bytes: int) -> int:
    """Of the generated C: steps, parameters, the tables of inputs and outputs, the description."""
    steps = sum(
        4
        + STEP_BYTES
        + OPERAND_BYTES * (len(step.operands) + len(step.results) - 1)
        + structs[step.params.ctype]
        for step in program.steps
    )
    ports = PORT_BYTES * (len(program.inputs) + len(program.outputs))
    return MODEL_BYTES + ports + steps + description_bytes + len(program.name)


def target(board: Board) -> str:
    """What decides a kernel's code: the core's compiler flags."""
    return " ".join(target_flags(board.core))


def code_sizes(board: Board, toolchain: str | None = None) -> CodeSizes:
    """The sizes for a board: the table's where they are of today's sources, else measured.

    Raises ToolchainError where something has to be measured and no compiler is installed.
    """
    table = read_table()
    kernels = dict(table.get("targets", {}).get(target(board), {}))
    found = table.get("boards", {}).get(board.name, {})
    by_table = toolchain in (None, "gcc")
    stale = [
        row
        for row in KERNELS
        if not row.is_alias and kernels.get(row.name, {}).get("of") != sources_digest(row.sources)
    ]
    base_fresh = found.get("of") == _base_digest(board)
    compiler = _compiler(board, toolchain)
    if by_table and not stale and base_fresh:
        source = f"table, {table['compiler']}"
    elif compiler is None:
        if not found or not by_table:
            raise ToolchainError(
                f"no code sizes for {board.name}: install arm-none-eabi-gcc, or run "
                "`pip install ziglang`, so that they can be measured"
            )
        source = f"table, {table['compiler']}, of other sources"
    else:
        rows = stale if by_table and compiler.identity == table.get("compiler") else KERNELS
        kernels |= measure_kernels(compiler, rows)
        if rows is KERNELS or not base_fresh:
            found = measure_base(board, compiler, kernels)
        source = f"measured, {compiler.identity}"
    return CodeSizes(
        base=int(found["flash"]),
        static_ram=int(found["ram"]),
        kernels={name: int(row["bytes"]) for name, row in kernels.items()},
        structs={str(row["struct"]): int(row["sizeof"]) for row in kernels.values()},
        source=source,
    )


@cache
def read_table() -> dict[str, Any]:
    """The committed table; empty where there is none."""
    if not TABLE.is_file():
        return {}
    document: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return document


def sources_digest(sources: Iterable[str]) -> str:
    """Of files of `firmware`, 12 hexadecimal digits."""
    total = hashlib.sha256()
    for name in sorted(sources):
        total.update(name.encode() + b"\0" + _content(name))
    return total.hexdigest()[:12]


@cache
def _content(name: str) -> bytes:
    return data_path("firmware", *name.split("/")).read_bytes()


@cache
def _base_digest(board: Board) -> str:
    root = data_path("firmware")
    folders = (root / "runtime", *port_folders(root / "ports", board.soc.port), root / "apps" / APP)
    files = sorted(p for folder in folders for p in folder.glob("*") if p.is_file())
    total = hashlib.sha256()
    for path in files:
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    # What the board file decides of the code: pins and clocks are constants in it, sizes are not.
    total.update(board.soc.name.encode())
    return total.hexdigest()[:12]


def _compiler(board: Board, toolchain: str | None) -> Toolchain | None:
    if board.core.name in OTHER_CORES or board.stack is None:
        return None
    try:
        return find_toolchain(board, toolchain)
    except ToolchainError:
        return None


# Measuring


def measure_kernels(
    compiler: Toolchain, rows: Sequence[KernelRow] = KERNELS
) -> dict[str, dict[str, Any]]:
    """{kernel: bytes, its struct, the struct's size, the sources' digest}, each file compiled once.

    Raises ToolchainError.
    """
    root = data_path("firmware")
    files = sorted({s for row in rows for s in row.sources if s.endswith(".c")})
    files.append(f"runtime/{LIBC}")
    with tempfile.TemporaryDirectory(prefix="edge-sizes-") as scratch:
        folder = Path(scratch)
        jobs = [
            CompileJob(root / f, ("-O2",), (root / "kernels", root / "runtime")) for f in files[:-1]
        ]
        jobs.append(CompileJob(root / files[-1], ("-Os", "-fno-builtin"), (root / "runtime",)))
        objects = [Elf.load(path) for path in compile_objects(compiler, jobs, folder)]
        structs = _struct_sizes(compiler, rows, folder)
    reach = _Reach(objects[:-1])
    measured = {}
    for row in rows:
        if row.is_alias:
            continue
        struct_name = _declared(row)[1]
        measured[row.name] = {
            "bytes": reach.bytes(row.name),
            "struct": struct_name,
            "sizeof": structs[struct_name],
            "of": sources_digest(row.sources),
        }
    return measured


def _declared(row: KernelRow) -> tuple[str, str]:
    """(header, parameter struct) of the kernel's declaration."""
    for name in row.sources:
        if name.endswith(".h"):
            text = _content(name).decode("utf-8")
            found = re.search(rf"\bvoid\s+{row.name}\s*\(\s*const\s+((?:struct\s+)?\w+)\s*\*", text)
            if found:
                return Path(name).name, " ".join(found[1].split())
    raise ToolchainError(f"kernel {row.name} is declared by no header that its row lists")


def _struct_sizes(compiler: Toolchain, rows: Sequence[KernelRow], folder: Path) -> dict[str, int]:
    """sizeof of every parameter struct, read from the data of an object."""
    declared = {_declared(row) for row in rows if not row.is_alias}
    names = sorted({name for _, name in declared})
    headers = sorted({header for header, _ in declared})
    source = folder / "sizes.c"
    source.write_text(
        "".join(f'#include "{name}"\n' for name in headers)
        + "extern const uint32_t sizes[];\nconst uint32_t sizes[] = {"
        + ", ".join(f"sizeof({name})" for name in names)
        + "};\n"
    )
    root = data_path("firmware")
    job = CompileJob(source, ("-O1", "-Wno-unused-function"), (root / "kernels", root / "runtime"))
    (path,) = compile_objects(compiler, [job], folder, first=900)
    elf = Elf.load(path)
    symbol = elf.symbol("sizes")
    content = elf.section_bytes(elf.sections[symbol.section])
    values = struct.unpack_from(f"<{len(names)}I", content, symbol.value)
    return dict(zip(names, values, strict=True))


@dataclass
class _Reach:
    """Sections of object files that a function needs, itself included."""

    objects: Sequence[Elf]
    _defined: dict[str, tuple[int, int]] = field(default_factory=dict)
    _needs: dict[tuple[int, int], set[tuple[int, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number, elf in enumerate(self.objects):
            for symbol in elf.symbols:
                if symbol.section != SHN_UNDEF and symbol.name:
                    self._defined.setdefault(symbol.name, (number, symbol.section))
        for number, elf in enumerate(self.objects):
            for relocation in elf.relocations:
                if relocation.symbol >= len(elf.symbols):
                    continue
                symbol = elf.symbols[relocation.symbol]
                where = (
                    (number, symbol.section)
                    if symbol.section != SHN_UNDEF
                    else self._defined.get(symbol.name)
                )
                if where is not None:
                    self._needs.setdefault((number, relocation.section), set()).add(where)

    def bytes(self, function: str) -> int:
        start = self._defined.get(function)
        if start is None:
            raise ToolchainError(f"no object defines {function}")
        seen, waiting = {start}, [start]
        while waiting:
            for needed in self._needs.get(waiting.pop(), ()):
                if needed not in seen:
                    seen.add(needed)
                    waiting.append(needed)
        sections = [
            self.objects[number].sections[index]
            for number, index in seen
            if index < len(self.objects[number].sections)
        ]
        return sum(-(-section.size // 4) * 4 for section in sections if section.loaded)


def nothing_model() -> Graph:
    """A model that computes nothing: its output is its input."""
    builder = GraphBuilder("nothing")
    return builder.build([builder.reshape(builder.input("x", (1, 4)), (4,))])


def measure_base(
    board: Board, compiler: Toolchain, kernels: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Flash and RAM of a linked image around a model that computes nothing.

    Raises ToolchainError and its kin."""
    from edge_export import export_model
    from edge_export.aot.describe import compress

    graph = nothing_model()
    compiled = compile_model(graph, board)
    with tempfile.TemporaryDirectory(prefix="edge-base-") as scratch:
        exported = export_model(graph, board, Path(scratch) / "nothing")
        request = BuildRequest(
            board, APP, (exported.model_sources(),), Path(scratch).resolve() / "build"
        )
        sizes = build_image(request, compiler).sizes
    structs = {str(row["struct"]): int(row["sizeof"]) for row in kernels.values()}
    described = len(compress(dict(exported.description)))
    return {
        "flash": sizes.flash - generated_bytes(compiled.program, structs, described),
        "ram": sizes.static_ram + (sizes.rings or 0),
        "of": _base_digest(board),
    }


# The table


def make_table(boards: Sequence[Board]) -> dict[str, Any]:
    """The table for boards that are built by our own linker script, with gcc."""
    document: dict[str, Any] = {"compiler": "", "targets": {}, "boards": {}}
    for board in boards:
        compiler = _compiler(board, "gcc")
        if compiler is None:
            continue
        document["compiler"] = compiler.identity
        kernels = document["targets"].setdefault(target(board), {})
        if not kernels:
            kernels.update(measure_kernels(compiler))
        try:
            document["boards"][board.name] = measure_base(board, compiler, kernels)
        except BoardsError as error:
            print(f"{board.name}: {error}")
    return document


def table_text(document: Mapping[str, Any]) -> str:
    """JSON with one kernel or board a line."""
    lines = [f'  "compiler": {json.dumps(document["compiler"])},', '  "targets": {']
    targets = []
    for name, kernels in sorted(document["targets"].items()):
        rows = ",\n".join(f"      {json.dumps(k)}: {json.dumps(v)}" for k, v in kernels.items())
        targets.append(f"    {json.dumps(name)}: {{\n{rows}\n    }}")
    lines += [",\n".join(targets), "  },", '  "boards": {']
    rows = ",\n".join(
        f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(document["boards"].items())
    )
    return "{\n" + "\n".join([*lines, rows, "  }"]) + "\n}\n"


def main() -> None:
    from edge_boards import list_boards

    TABLE.write_text(table_text(make_table(list_boards())), encoding="utf-8")
    print(f"{TABLE.name} written")


if __name__ == "__main__":
    main()
