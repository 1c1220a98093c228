"""A PlatformIO core folder made of what is on this machine, so that `pio run` builds with no
registry in reach: SCons from PyPI, Debian's compiler, and a stand-in for the platform `ststm32`.

The stand-in does what the real platform does for a board without a framework (its flags, an ELF
called firmware.elf and a binary of it); for the framework `arduino` it compiles the stub in
`tests/arduino_stub`, so that a sketch is compiled and linked, though not for a chip that would run
it: there is no start-up code.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path

import pytest

STUB = Path(__file__).resolve().parent / "arduino_stub"
TOOLCHAIN_VERSION = "1.120301.0"
_BIN = "arm-none-eabi-"
_BOARDS = {
    "disco_f746ng": ("cortex-m7", 216_000_000),
    "nucleo_f746zg": ("cortex-m7", 216_000_000),
    "nucleo_l4r5zi": ("cortex-m4", 120_000_000),
    "bluepill_f103c8": ("cortex-m3", 72_000_000),
    "nucleo_f401re": ("cortex-m4", 84_000_000),
}

_MAIN = """\
from os.path import join
from SCons.Script import AlwaysBuild, Builder, Default, DefaultEnvironment

env = DefaultEnvironment()
cpu = "-mcpu=" + env.BoardConfig().get("build.cpu")
env.Replace(
    AR="arm-none-eabi-gcc-ar", AS="arm-none-eabi-as", CC="arm-none-eabi-gcc",
    CXX="arm-none-eabi-g++", OBJCOPY="arm-none-eabi-objcopy", RANLIB="arm-none-eabi-gcc-ranlib",
    SIZETOOL="arm-none-eabi-size", SIZECHECKCMD="$SIZETOOL -A -d $SOURCES",
    SIZEPROGREGEXP=r"^(?:\\.text|\\.data)\\s+(\\d+).*",
    SIZEDATAREGEXP=r"^(?:\\.data|\\.bss)\\s+(\\d+).*",
    PROGNAME="firmware", PROGSUFFIX=".elf",
)
env.Append(
    BUILDERS={"ElfToBin": Builder(action="$OBJCOPY -O binary $SOURCE $TARGET", suffix=".bin")},
)
if not env.get("PIOFRAMEWORK"):
    env.Append(
        CCFLAGS=["-Os", "-ffunction-sections", "-fdata-sections", "-Wall", "-mthumb", cpu],
        LINKFLAGS=["-Os", "-Wl,--gc-sections,--relax", "-mthumb", cpu],
        LIBS=["c", "gcc", "m", "stdc++"],
        CPPDEFINES=[("F_CPU", "$BOARD_F_CPU")],
    )
program = env.BuildProgram()
binary = env.ElfToBin(join("$BUILD_DIR", "firmware"), program)
env.Depends(binary, "checkprogsize")
Default([env.Alias("buildprog", binary, binary)])
"""

_ARDUINO = """\
from os.path import join
from SCons.Script import DefaultEnvironment

env = DefaultEnvironment()
core = env.PioPlatform().get_package_dir("framework-arduinoststm32")
cpu = "-mcpu=" + env.BoardConfig().get("build.cpu")
env.Append(
    CCFLAGS=["-Os", "-ffunction-sections", "-fdata-sections", "-mthumb", cpu],
    CFLAGS=["-std=gnu17"],
    CXXFLAGS=["-std=gnu++17", "-fno-exceptions", "-fno-rtti"],
    LINKFLAGS=["-Os", "-Wl,--gc-sections", "-mthumb", cpu, "--specs=nosys.specs",
               "-Wl,-Ttext=0x08000000,-Tdata=0x20000000"],
    CPPDEFINES=["ARDUINO_ARCH_STM32", ("F_CPU", "$BOARD_F_CPU")],
    CPPPATH=[core],
)
env.Append(LIBSOURCE_DIRS=[join(core, "libraries")])
env.Prepend(LIBS=[env.BuildLibrary(join("$BUILD_DIR", "FrameworkArduino"), core, "+<*.cpp>")])
"""


# As the real one: an old compiler, unless the framework needs another or the project asks for one.
_CLASS = f"""\
from platformio.public import PlatformBase


class Ststm32Platform(PlatformBase):
    def configure_default_packages(self, variables, targets):
        if "arduino" in variables.get("pioframework", []):
            self.packages["toolchain-gccarmnoneeabi"]["version"] = "~{TOOLCHAIN_VERSION}"
        return super().configure_default_packages(variables, targets)
"""


def prepare_core(folder: Path) -> Path:
    """Fills `folder` and gives it back: the value of PLATFORMIO_CORE_DIR.

    Skips the test where SCons or the compiler is missing.
    """
    if importlib.util.find_spec("SCons") is None or importlib.util.find_spec("platformio") is None:
        pytest.skip("no PlatformIO: pip install platformio scons")
    if shutil.which(f"{_BIN}gcc") is None:
        pytest.skip("no arm-none-eabi-gcc on PATH")
    asked = [f"{_BIN}g++", "-print-file-name=libstdc++.a"]
    if subprocess.run(asked, capture_output=True, text=True).stdout.strip() == "libstdc++.a":
        pytest.skip("no C++ library for arm-none-eabi-g++ (libstdc++-arm-none-eabi-newlib)")
    packages, platform = folder / "packages", folder / "platforms" / "ststm32"
    _package(packages / "tool-scons", "4.41101.0")
    (packages / "tool-scons" / "scons.py").write_text(
        "import SCons.Script.Main\nSCons.Script.Main.main()\n", encoding="utf-8"
    )
    toolchain = packages / "toolchain-gccarmnoneeabi"
    _package(toolchain, TOOLCHAIN_VERSION)
    (toolchain / "bin").mkdir()
    for tool in ("ar", "as", "gcc", "gcc-ar", "gcc-ranlib", "g++", "objcopy", "size"):
        found = shutil.which(_BIN + tool)
        assert found, tool
        (toolchain / "bin" / (_BIN + tool)).symlink_to(found)
    framework = packages / "framework-arduinoststm32"
    _package(framework, "4.20700.0")
    for name in ("Arduino.h", "bare.cpp"):
        shutil.copy(STUB / name, framework)
    library = framework / "libraries" / "Stub_Extra"
    library.mkdir(parents=True)
    (library / "library.properties").write_text(
        "name=Stub Extra Library\nversion=1.0.0\nauthor=x\nmaintainer=x\nsentence=x\n"
        "paragraph=x\ncategory=Other\nurl=x\narchitectures=*\n",
        encoding="utf-8",
    )
    (library / "stub_extra.cpp").write_text(
        "__attribute__((used)) int stub_extra = 7;\n", encoding="utf-8"
    )
    _platform(platform)
    return folder


def _piopm(folder: Path, kind: str, version: str) -> None:
    spec = {"owner": "platformio", "id": None, "name": folder.name, "requirements": None}
    about = {"type": kind, "name": folder.name, "version": version, "spec": {**spec, "uri": None}}
    (folder / ".piopm").write_text(json.dumps(about), encoding="utf-8")


def _package(folder: Path, version: str) -> None:
    folder.mkdir(parents=True)
    about = {"name": folder.name, "version": version, "system": "*", "description": "a stand-in"}
    (folder / "package.json").write_text(json.dumps(about), encoding="utf-8")
    _piopm(folder, "tool", version)


def _platform(folder: Path) -> None:
    for name in ("builder", "boards"):
        (folder / name).mkdir(parents=True)
    about = {
        "name": "ststm32",
        "title": "ST STM32, a stand-in",
        "description": "for tests",
        "version": "19.6.0",
        "frameworks": {
            "arduino": {"package": "framework-arduinoststm32", "script": "builder/arduino.py"}
        },
        "packages": {
            "toolchain-gccarmnoneeabi": {
                "type": "toolchain", "owner": "platformio", "version": ">=1.60301.0,<1.80000.0",
            },
            "framework-arduinoststm32": {
                "type": "framework", "optional": True, "owner": "platformio",
                "version": "~4.20700.0",
            },
        },
    }  # fmt: skip
    (folder / "platform.json").write_text(json.dumps(about), encoding="utf-8")
    (folder / "platform.py").write_text(_CLASS, encoding="utf-8")
    (folder / "builder" / "main.py").write_text(_MAIN, encoding="utf-8")
    (folder / "builder" / "arduino.py").write_text(_ARDUINO, encoding="utf-8")
    for name, (cpu, hz) in _BOARDS.items():
        board = {
            "name": name,
            "vendor": "ST",
            "url": "https://www.st.com",
            "frameworks": ["arduino"],
            "build": {"cpu": cpu, "f_cpu": f"{hz}L", "mcu": "stm32"},
            "upload": {"maximum_ram_size": 20480, "maximum_size": 1048576},
        }
        (folder / "boards" / f"{name}.json").write_text(json.dumps(board), encoding="utf-8")
    _piopm(folder, "platform", "19.6.0")


def variables(core: Path) -> dict[str, str]:
    """What a process needs to use `core`, and to ask nobody for updates."""
    return {
        "PLATFORMIO_CORE_DIR": str(core),
        "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
        "PLATFORMIO_SETTING_CHECK_PLATFORMIO_INTERVAL": "9999",
        "PLATFORMIO_NO_ANSI": "true",
    }
