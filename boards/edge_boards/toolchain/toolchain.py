"""A compiler and linker for boards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from edge_boards.toolchain.compiler import Compiler, run_tool

COMMON_FLAGS = (
    "-std=c11",
    "-g0",  # zig would add debug information, and with it the folders of this machine
    "-ffreestanding",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-common",
    "-fno-exceptions",
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
    "-fno-stack-protector",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-DEAG_SECTIONS",
)


@dataclass(frozen=True)
class Toolchain(Compiler):
    """A cross compiler with its linker. `link_prefix` passes a flag through a compiler driver."""

    link_command: tuple[str, ...] = ()
    link_prefix: str = ""

    def link(
        self,
        objects: Sequence[str],
        script: str,
        output: str,
        map_file: str,
        cwd: Path,
        libraries: Sequence[str] = (),
    ) -> CompletedProcess[str]:
        """Link objects by a script; names are relative to `cwd`, so that no path gets into the
        map. `libraries` are archives and -l options, searched after all objects. A non-zero exit
        is the caller's to read.
        """
        through = self.link_prefix
        command = [
            *self.link_command,
            "-T",
            script,
            *(f"{through}{flag}" for flag in ("--gc-sections", "--nmagic", f"-Map={map_file}")),
            f"{through}--build-id=none",
            "-o",
            output,
            *objects,
            *libraries,
        ]
        return run_tool(command, cwd, dict(self.environment))
