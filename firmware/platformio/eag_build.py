"""Run by PlatformIO before it builds: the build id, the list of models, the flags that have no
place in platformio.ini, and the image's CRC. Standard library only: PlatformIO's Python need not
know edge-autoglm.
"""

import hashlib
import json
import re
import struct
import sys
import zlib
from pathlib import Path

Import("env")

GENERATED = Path(env.subst("$BUILD_DIR"), "generated")


def fail(words):
    sys.stderr.write(f"Error: {words}\n")
    env.Exit(1)


def read_export(folder):
    """export.json of the model's folder."""
    try:
        return json.loads((folder / "export.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return fail(
            f"{folder} is no exported model; `edge-autoglm export MODEL --board "
            f"{env['PIOENV']} -o DIR`, then EDGE_AUTOGLM_MODEL=DIR"
        )


def write(name, text):
    """A generated file, touched only where it changes, so that nothing is compiled anew."""
    path = GENERATED / name
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def build_id(model, exported):
    """8 bytes of SHA-256 over sources, headers, flags and packages."""
    total = hashlib.sha256()
    for package in sorted(env.PioPlatform().dump_used_packages(), key=lambda p: p["name"]):
        total.update(f"{package['name']} {package['version']}\0".encode())
    for option in ("board", "build_flags", "build_src_filter"):
        total.update(f"{env.GetProjectOption(option, '')}\0".encode())
    sources = Path(env.subst("$PROJECT_SRC_DIR"))
    named = env.MatchSourceFiles(str(sources), env.get("SRC_FILTER"))
    board = sources / "platformio" / env["PIOENV"]
    files = [sources / name for name in named] + sorted(board.glob("*"))
    files += [model / name for name in sorted(exported["files"])]
    for path in sorted(files, key=lambda p: p.name):
        total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.digest()[:8]


def compile_libc(env, node):
    """These functions are what compilers turn loops into: they must not become calls of
    themselves."""
    flags = ["-fno-builtin", "-fno-tree-loop-distribute-patterns"]
    return env.Object(node, CCFLAGS=[*env["CCFLAGS"], *flags])


def link_as_compiled():
    """For the linker, where no framework has its own: what says which core and which libraries.
    PlatformIO takes these flags for the compiler's alone."""
    flags = env.ParseFlagsExtended(env.get("BUILD_FLAGS", []))["CCFLAGS"]
    chosen = [f for f in flags if isinstance(f, str) and re.match("-m|-nost", f)]
    env.Append(LINKFLAGS=chosen)


def seal(target, source, env):  # noqa: ARG001 - SCons calls it so
    """Writes the image's CRC-32 into the ELF file, at the place that eag_image.h has for it: by it
    a board can tell half an image from a whole one."""
    path = Path(str(target[0]))
    elf = bytearray(path.read_bytes())
    headers, size, count = (*struct.unpack_from("<I", elf, 28), *struct.unpack_from("<HH", elf, 42))
    parts = []
    for at in range(headers, headers + size * count, size):
        kind, offset, _, address, length = struct.unpack_from("<5I", elf, at)
        if kind == 1 and length:
            parts.append((address, offset, length))
    base = min(address for address, _, _ in parts)
    image = bytearray(b"\xff" * (max(address + length for address, _, length in parts) - base))
    for address, offset, length in parts:
        image[address - base : address - base + length] = elf[offset : offset + length]
    place = image.index(b"EAG1") + 68
    # 0 says that nobody computed it.
    crc = zlib.crc32(image[place + 4 :], zlib.crc32(image[:place])) or 0xFFFFFFFF
    for address, offset, length in parts:
        if address <= base + place < address + length:
            struct.pack_into("<I", elf, offset + base + place - address, crc)
    path.write_bytes(elf)


def main():
    model = Path(env.GetProjectOption("custom_model"))
    exported = read_export(model)
    if exported["board"] != env["PIOENV"]:
        fail(f"{model} was exported for {exported['board']}, this is {env['PIOENV']}")
    if not env.GetProjectOption("framework", ""):
        link_as_compiled()
        env.AddBuildMiddleware(compile_libc, "*eag_libc.c")
        env.AddPostAction("$BUILD_DIR/${PROGNAME}.elf", seal)
    digits = ", ".join(f"0x{byte:02x}" for byte in build_id(model, exported))
    write("eag_build_id.h", f'#include "eag_board.h"\n#define EAG_BUILD_ID {{{digits}}}\n')
    name = exported["name"]
    write(
        "eag_models.c",
        f"""#include "eag_model.h"

extern const eag_model {name}_model;
extern const eag_model *const eag_models[];
extern const unsigned eag_model_count;
const eag_model *const eag_models[] = {{&{name}_model}};
const unsigned eag_model_count = 1;
""",
    )
    env.Append(CPPPATH=[str(GENERATED)])
    env.BuildSources(str(GENERATED / "objects"), str(GENERATED), "-<*> +<eag_models.c>")


main()
