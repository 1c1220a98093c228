"""The rest of a TFLM folder: the firmware around the model, and build files for PlatformIO and
CMake, so that it builds where edge-autoglm is not installed.

    src/main.c      the app that serves the wire (main.cpp, a sketch, where a framework has main)
    board/          board facts, list of models, build id; the linker script where it is ours
    firmware/       runtime, port, TFLM's adapter
    platformio.ini  tflm.py  CMakeLists.txt  arm-none-eabi.cmake

Nothing of it but the model's name is special to a model; `edge-autoglm build` takes the sources
that are installed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge_boards.board import Board
from edge_boards.data import data_path
from edge_boards.platformio.ini import by_framework
from edge_boards.ports import port_folders
from edge_boards.toolchain.gcc import target_flags
from edge_boards.toolchain.generate import board_header, build_id_header, models_source
from edge_boards.toolchain.linker import linker_script

from .tree import CMSIS_NN, ENVIRONMENT, HEADER_FOLDERS, LIBRARY, library_folder, make_command

_SOURCES = (".c", ".cc", ".cpp", ".S")
# It stands in for a C library, which these builds have.
_LEFT_OUT = ("eag_libc.c",)
_SECTIONS = ("-ffunction-sections", "-fdata-sections", "-fno-common")
_UNWIND = ("-fno-unwind-tables", "-fno-asynchronous-unwind-tables")
_STANDARD = "-std=gnu++17"
_CXX = ("-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", "-fno-use-cxa-atexit")
_LINK = ("-nostdlib", "-nostartfiles", "-Wl,--gc-sections", "-Wl,--nmagic", "-Wl,--build-id=none")


def project_files(
    name: str, board: Board, kernels: str, model: Mapping[str, str]
) -> dict[str, str]:
    """Path in the folder -> text. `model` are the model's own sources, by path.

    Raises ToolchainError where the board's port is missing.
    """
    ports = port_folders(data_path("firmware", "ports"), board.soc.port)
    folders = ("runtime", "tflm", *(f"ports/{port.name}" for port in ports))
    files = {
        f"firmware/{folder}/{path.name}": path.read_text(encoding="utf-8")
        for folder in folders
        for path in sorted(data_path("firmware", *folder.split("/")).iterdir())
        if path.suffix in (*_SOURCES, ".h") and path.name not in _LEFT_OUT
    }
    app = "sketch.cpp" if by_framework(board) else "main.c"
    main = data_path("firmware", "apps", "profile", app)
    files[f"src/main{main.suffix}"] = main.read_text(encoding="utf-8")
    files["board/eag_board.h"] = board_header(board)
    files["board/eag_models.c"] = models_source([name])
    if not by_framework(board):
        files["board/image.ld"] = linker_script(board)
    files["board/eag_build_id.h"] = build_id_header(_build_id({**files, **model}))
    project = _Project(
        name=name,
        board=board,
        kernels=kernels,
        includes=("src", "board", *(f"firmware/{folder}" for folder in folders)),
        sources=sorted(p for p in {**files, **model} if Path(p).suffix in _SOURCES),
    )
    if board.platformio is not None:
        files["platformio.ini"] = project.platformio()
        files["tflm.py"] = project.script()
    if not by_framework(board):
        files["CMakeLists.txt"] = project.cmake()
        files["arm-none-eabi.cmake"] = project.cmake_toolchain()
    return files


def _build_id(files: Mapping[str, str]) -> bytes:
    """Of the sources alone: which compiler will be used is not known here."""
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(path.encode() + b"\0" + files[path].encode() + b"\0")
    return total.digest()[:8]


class _Project:
    """The build files of one folder."""

    def __init__(
        self,
        *,
        name: str,
        board: Board,
        kernels: str,
        includes: Sequence[str],
        sources: Sequence[str],
    ) -> None:
        self.name = name
        self.board = board
        self.includes = includes
        self.sources = sources
        self.framework = by_framework(board)
        self.make = make_command(board.core, kernels)
        self.library = library_folder(board.core, kernels)
        self.defines = ["TF_LITE_STATIC_MEMORY", "TF_LITE_MCU_DEBUG_LOG"]
        if not self.framework:
            self.defines.append("EAG_SECTIONS")
        if kernels == CMSIS_NN:
            self.defines.append("CMSIS_NN")

    def platformio(self) -> str:
        """platformio.ini."""
        names = self.board.platformio
        assert names is not None
        lines = [f"platform = {names.platform}", f"board = {names.board}"]
        flags = [f"-D{define}" for define in self.defines]
        for option in names.options:
            key, _, value = option.partition("=")
            if key.strip() == "build_flags":
                flags.append(value.strip())
            else:
                lines.append(option)
        if self.framework:
            lines.append(f"framework = {names.framework}")
        else:
            # GCC 12.3: the platform's own default is GCC 7.
            lines.append("platform_packages = platformio/toolchain-gccarmnoneeabi@~1.120301.0")
            lines.append("board_build.ldscript = board/image.ld")
            flags += ["-Os", *target_flags(self.board.core), *_SECTIONS, *_UNWIND]
        return _PLATFORMIO.format(
            name=self.name,
            title=self.board.title,
            environment=ENVIRONMENT,
            make=self.make or "TFLM's own Makefile, for this core",
            env=self.board.name,
            lines="\n".join(lines),
            sources="".join(f"\n  +<{source}>" for source in self.sources),
            flags="".join(f"\n  {f}" for f in (*flags, *(f"-I{i}" for i in self.includes))),
        )

    def script(self) -> str:
        """tflm.py, which PlatformIO runs before it builds."""
        own = ""
        if not self.framework:
            link = ", ".join(f'"{f}"' for f in (*target_flags(self.board.core), *_LINK))
            cxx = ", ".join(f'"{flag}"' for flag in _CXX)
            own = (
                f"env.Append(CXXFLAGS=[{cxx}])  # noqa: F821\n"
                f'env.Append(LINKFLAGS=[{link}], LIBS=["m", "c", "gcc"])  # noqa: F821\n'
            )
        return _SCRIPT.format(
            environment=ENVIRONMENT,
            headers=", ".join(f'"{folder}"' for folder in HEADER_FOLDERS),
            folder=self.library,
            library=LIBRARY,
            how=f"make it there: {self.make}" if self.make else "make it for this core",
            standard=_STANDARD,
            own=own,
        )

    def cmake(self) -> str:
        """CMakeLists.txt."""
        listed = [source for source in self.sources if source != "src/model_data.cc"]
        return _CMAKE.format(
            name=self.name,
            title=self.board.title,
            make=self.make,
            environment=ENVIRONMENT,
            folder=self.library,
            library=LIBRARY,
            sources="\n".join(f"  {source}" for source in listed),
            defines=" ".join(self.defines),
            flags=" ".join((*_SECTIONS, *_UNWIND)),
            cxx=";".join(_CXX),
            includes=" ".join(self.includes),
            headers=" ".join(f"${{downloads}}/{folder}" for folder in HEADER_FOLDERS),
            link=" ".join(_LINK),
        )

    def cmake_toolchain(self) -> str:
        """arm-none-eabi.cmake."""
        return _CMAKE_TOOLCHAIN.format(flags=" ".join(target_flags(self.board.core)))


_PLATFORMIO = """\
; {name} on {title} with TensorFlow Lite Micro: generated by edge-autoglm.
;
;   pio run                 builds it
;   pio run -t upload       flashes it
;
; TFLM is yours. Name the root of a tflite-micro checkout that has its library in custom_tflm, or in
; the environment variable {environment}; the library is made there by
;   {make}
; With TFLM as a PlatformIO library instead: list it in lib_deps and set custom_tflm = lib_deps.
[platformio]
default_envs = {env}
src_dir = .
include_dir = src

[env:{env}]
{lines}
build_src_filter = -<*>{sources}
build_flags ={flags}
lib_deps =
extra_scripts = pre:tflm.py
custom_tflm =
"""

_SCRIPT = '''\
"""Links TFLM into a PlatformIO build. Generated by edge-autoglm."""

import os
import sys

Import("env")  # noqa: F821 - SCons gives it

TREE = env.GetProjectOption("custom_tflm", "") or os.environ.get("{environment}", "")  # noqa: F821
HEADERS = ({headers})
FOLDER, LIBRARY = "{folder}", "{library}"


def add_tree():
    """The checkout's headers and library, or one line saying what is missing."""
    if not TREE:
        sys.exit(
            "TFLM: name a tflite-micro checkout in custom_tflm of platformio.ini or in the "
            "environment variable {environment}, or list a PlatformIO library in lib_deps"
        )
    if not os.path.isfile(os.path.join(TREE, FOLDER, LIBRARY)):
        sys.exit(
            f"TFLM: {{LIBRARY}} is missing in {{os.path.join(TREE, FOLDER)}}; "
            "{how}"
        )
    downloads = os.path.join(TREE, "tensorflow/lite/micro/tools/make/downloads")
    folders = [TREE] + [os.path.join(downloads, header) for header in HEADERS]
    env.Append(  # noqa: F821
        CCFLAGS=[("-isystem", folder) for folder in folders],
        LIBPATH=[os.path.join(TREE, FOLDER)],
        LIBS=["tensorflow-microlite"],
    )


if TREE != "lib_deps":
    add_tree()
env.Append(CXXFLAGS=["{standard}"])  # noqa: F821
{own}'''

_CMAKE_TOOLCHAIN = """\
# arm-none-eabi-gcc for the board. Generated by edge-autoglm.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR arm)
set(CMAKE_C_COMPILER arm-none-eabi-gcc)
set(CMAKE_CXX_COMPILER arm-none-eabi-g++)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(CMAKE_C_FLAGS_INIT "{flags}")
set(CMAKE_CXX_FLAGS_INIT "{flags}")
"""

_CMAKE = """\
# {name} on {title} with TensorFlow Lite Micro: generated by edge-autoglm.
#
#   cmake -B out -DTFLM_DIR=a/tflite-micro/checkout && cmake --build out
#
# gives profile.elf and profile.bin. In a project of your own: add_subdirectory() this folder and
# link to {name}, which is the model alone (src/model_data.cc and the headers beside it).
# The library is made in the checkout by
#   {make}
cmake_minimum_required(VERSION 3.13)
if(NOT DEFINED PROJECT_NAME AND NOT CMAKE_TOOLCHAIN_FILE)
  set(CMAKE_TOOLCHAIN_FILE ${{CMAKE_CURRENT_LIST_DIR}}/arm-none-eabi.cmake)
endif()
project({name}_firmware C CXX)
set(CMAKE_CXX_STANDARD 17)

add_library({name} STATIC src/model_data.cc)
target_include_directories({name} PUBLIC src)
if(NOT CMAKE_SOURCE_DIR STREQUAL CMAKE_CURRENT_SOURCE_DIR)
  return()
endif()

set(TFLM_DIR "$ENV{{{environment}}}" CACHE PATH "A tflite-micro checkout with its library")
set(TFLM_LIBRARY "${{TFLM_DIR}}/{folder}/{library}" CACHE FILEPATH "TFLM's static library")
if(NOT EXISTS "${{TFLM_DIR}}/tensorflow/lite/micro/micro_interpreter.h")
  message(FATAL_ERROR "TFLM_DIR is no tflite-micro checkout: '${{TFLM_DIR}}'")
endif()
if(NOT EXISTS "${{TFLM_LIBRARY}}")
  message(FATAL_ERROR "${{TFLM_LIBRARY}} is missing; make it in ${{TFLM_DIR}}: {make}")
endif()

add_executable(profile.elf
{sources}
)
target_compile_definitions({name} PUBLIC {defines})
target_compile_options({name} PUBLIC -Os {flags}
  $<$<COMPILE_LANGUAGE:CXX>:{cxx}>)
set(downloads ${{TFLM_DIR}}/tensorflow/lite/micro/tools/make/downloads)
target_include_directories(profile.elf PRIVATE {includes})
target_include_directories(profile.elf SYSTEM PRIVATE ${{TFLM_DIR}} {headers})
target_link_options(profile.elf PRIVATE -T${{CMAKE_CURRENT_SOURCE_DIR}}/board/image.ld
  {link} -Wl,-Map=profile.map)
set_target_properties(profile.elf PROPERTIES
  LINK_DEPENDS ${{CMAKE_CURRENT_SOURCE_DIR}}/board/image.ld)
target_link_libraries(profile.elf PRIVATE {name} ${{TFLM_LIBRARY}} m c gcc)
add_custom_command(TARGET profile.elf POST_BUILD
  COMMAND ${{CMAKE_OBJCOPY}} -O binary profile.elf profile.bin)
"""
