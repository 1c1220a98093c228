"""Builds the firmware as a process of this machine: the shipping app and runtime with
`firmware/ports/host`, which speaks the wire on stdin and stdout.

    program = build_host_firmware(tmp_path)          # with the toy model below
    process = subprocess.Popen([program], stdin=PIPE, stdout=PIPE)
"""

from __future__ import annotations

import os
import select
import shutil
import struct
import subprocess
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge_autoglm.device import cobs
from edge_autoglm.device.wire import Decoder, Frame, encode
from edge_boards.data import data_path

FLAGS = (
    *("-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"),
    # Tests look at what the runtime writes; a sanitizer that stays silent would hide a fault.
    *("-fno-omit-frame-pointer",),
)
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")

RUNTIME = ("burst", "cbor", "frame", "image", "profiler", "request", "server", "wire")


@dataclass(frozen=True)
class Toy:
    """A hand-written model of three steps over one arena block of 64 bytes.

    Input 0 is bytes 0-15, input 1 bytes 16-19, the output bytes 32-47:
    output[i] = input0[i] + 1 + input1[i % 4], modulo 256.
    """

    name: str = "toy"
    inputs: tuple[int, ...] = (16, 4)
    output: int = 16
    steps: int = 3
    arena: int = 64
    description: bytes = bytes(range(256)) * 3
    delay_us: int = 0  # the middle step waits that long

    @property
    def sha256(self) -> bytes:
        return bytes((len(self.name) + 7 * i) % 256 for i in range(32))

    def run(self, first: bytes, second: bytes) -> bytes:
        return bytes((a + 1 + second[i % 4]) % 256 for i, a in enumerate(first))

    def source(self) -> str:
        """The model as C."""
        n = self.name
        listed = ",".join(str(b) for b in self.description)
        digest = ",".join(str(b) for b in self.sha256)
        return f"""
#define _DEFAULT_SOURCE
#include <unistd.h>
#include "eag_model.h"
static uint8_t arena[{self.arena}];
static void add_one(void) {{ for (int i = 0; i < 16; i++) arena[32 + i] = arena[i] + 1; }}
static void wait_a_little(void) {{ if ({self.delay_us}) usleep({self.delay_us}); }}
static void add_second(void) {{ for (int i = 0; i < 16; i++) arena[32 + i] += arena[16 + i % 4]; }}
static const eag_step_fn steps[] = {{add_one, wait_a_little, add_second}};
static const uint8_t sha256[32] = {{{digest}}};
static const uint8_t description[] = {{{listed}}};
static const eag_tensor inputs[] = {{{{arena, 16}}, {{arena + 16, 4}}}};
static const eag_tensor outputs[] = {{{{arena + 32, 16}}}};
static const eag_block blocks[] = {{{{arena, sizeof arena}}}};
extern const eag_model {n}_model;
const eag_model {n}_model = {{
    .name = "{n}", .sha256 = sha256, .description = description,
    .description_size = sizeof description, .steps = steps, .inputs = inputs,
    .outputs = outputs, .arena = blocks, .step_count = 3, .input_count = 2,
    .output_count = 1, .arena_count = 1}};
"""


def host_compiler() -> str:
    """A C compiler of this machine; skips the test where there is none."""
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return found
    pytest.skip("no C compiler on PATH: cc, gcc or clang")


def can_sanitize(folder: Path) -> bool:
    """Whether the compiler links and runs programs with ASan and UBSan."""
    source, program = folder / "probe.c", folder / "probe"
    source.write_text("int main(void) { return 0; }\n", encoding="utf-8")
    built = subprocess.run(
        [host_compiler(), *SANITIZE, str(source), "-o", str(program)], capture_output=True
    )
    return built.returncode == 0 and subprocess.run([str(program)]).returncode == 0


def write_build_id(folder: Path) -> None:
    """The headers that a build for a board gets from the toolchain step."""
    (folder / "eag_board.h").write_text(
        '#define EAG_BOARD_NAME "host"\n#define EAG_CLOCK_HZ 1000000000u\n', encoding="utf-8"
    )
    (folder / "eag_build_id.h").write_text(
        '#include "eag_board.h"\n#define EAG_BUILD_ID {1, 2, 3, 4, 5, 6, 7, 8}\n',
        encoding="utf-8",
    )


def build_host_firmware(
    folder: Path,
    models: Sequence[Toy] = (Toy(),),
    sources: Sequence[tuple[str, Sequence[Path], Sequence[Path]]] = (),
    flags: Sequence[str] = (),
) -> Path:
    """Compiles the profile app for this machine and gives the program's path.

    Args:
        folder: where generated sources and the program go.
        models: toy models, each written to a C file of its own.
        sources: generated models: (symbol prefix, C files, include folders).
        flags: more compiler flags, such as `SANITIZE`.
    """
    firmware = data_path("firmware")
    files = [firmware / "runtime" / f"eag_{name}.c" for name in RUNTIME]
    files += [firmware / "ports/host/port.c", firmware / "apps/profile/main.c"]
    includes = [folder, firmware / "runtime", firmware / "ports/host"]
    write_build_id(folder)
    for toy in models:
        path = folder / f"{toy.name}.c"
        path.write_text(toy.source(), encoding="utf-8")
        files.append(path)
    for _, paths, folders in sources:
        files += paths
        includes += folders
    names = [toy.name for toy in models] + [name for name, _, _ in sources]
    table = folder / "eag_models.c"
    table.write_text(
        '#include "eag_model.h"\n'
        + "".join(f"extern const eag_model {name}_model;\n" for name in names)
        + "extern const eag_model *const eag_models[];\nextern const unsigned eag_model_count;\n"
        + f"const eag_model *const eag_models[] = {{{', '.join(f'&{n}_model' for n in names)}}};\n"
        + f"const unsigned eag_model_count = {len(names)};\n",
        encoding="utf-8",
    )
    program = folder / "firmware"
    command = [host_compiler(), *FLAGS, *flags, *(f"-I{path}" for path in includes)]
    command += [*(str(path) for path in [*files, table]), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


def raw(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """A frame's header and payload."""
    return struct.pack("<BBH", kind, flags, sequence) + payload


def on_line(body: bytes) -> bytes:
    """A frame between its delimiters, from header and payload."""
    return b"\0" + cobs.encode(body + struct.pack("<I", zlib.crc32(body))) + b"\0"


class Firmware:
    """A running host firmware, talked to frame by frame.

    Attributes:
        decoder: what the program sent, with its counters.
        events: frames that nobody waited for, in order.
    """

    def __init__(self, program: Path, **environment: str) -> None:
        self._process = subprocess.Popen(
            [str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, **environment},
        )
        self.decoder = Decoder()
        self.events: list[Frame] = []
        self._sequence = 0
        self._request = 1000

    def __enter__(self) -> Firmware:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> int:
        """Ends the line; the program ends with it. Gives its exit status."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            return self._process.wait(60)
        finally:
            self._process.kill()
            self._process.wait()
            if self._process.stdout:
                self._process.stdout.close()

    def send_raw(self, data: bytes) -> None:
        assert self._process.stdin
        self._process.stdin.write(data)

    def frame(self, kind: int, payload: Mapping[str, Any], request: int | None = None) -> Frame:
        """The next frame of this side, with a request number of its own unless one is given."""
        self._sequence += 1
        if request is None:
            self._request += 1
            request = self._request
        return Frame(kind, 0, self._sequence, {"request": request, **payload})

    def ask(self, kind: int, request: int | None = None, **payload: Any) -> Frame:
        """Sends a request and waits for its answer."""
        frame = self.frame(kind, payload, request)
        self.send_raw(encode(frame))
        return self.wait_for(
            lambda f: f.type == kind and f.payload.get("request") == frame.payload["request"]
        )

    def wait_for(self, wanted: Callable[[Frame], bool], seconds: float = 60.0) -> Frame:
        """The first frame that is wanted; the others go to `events`."""
        for index, frame in enumerate(self.events):
            if wanted(frame):
                return self.events.pop(index)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            found: Frame | None = None
            for frame in self.decoder.feed(self.read(left)):
                if found is None and wanted(frame):
                    found = frame
                else:
                    self.events.append(frame)
            if found is not None:
                return found
        raise AssertionError(f"no such frame within {seconds} s; came: {self.events[-5:]}")

    def read(self, seconds: float) -> bytes:
        """What the program wrote, as soon as there is some; empty after `seconds`."""
        assert self._process.stdout
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        if not ready:
            return b""
        data = os.read(self._process.stdout.fileno(), 1 << 16)
        assert data, f"the firmware ended with status {self._process.wait(60)}"
        return data
