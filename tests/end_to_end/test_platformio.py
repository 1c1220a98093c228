"""PlatformIO builds the same firmware: `build --with platformio`, `firmware/platformio.ini`, and an
exported folder in a project of the user's own. No registry is asked: see platformio_core.py."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cli_tools import Answer, call, command, environment
from machine_transport import MachineTransport
from platformio_core import prepare_core, variables

from edge_autoglm import pipeline
from edge_autoglm.device.session import Session
from edge_boards.data import data_path
from edge_boards.elf import Elf
from edge_boards.loader import load_board
from edge_boards.platformio.project import FOLDER
from edge_boards.toolchain import Image
from edge_export import load_export

MODEL = Path(__file__).resolve().parents[2] / "examples" / "digits" / "digits_int8.tflite"
PIO = [sys.executable, "-m", "platformio"]


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_core(tmp_path_factory.mktemp("core"))


@pytest.fixture(autouse=True)
def use_core(core: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables(core).items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The digits model, exported for each board that is built for here."""
    folder = tmp_path_factory.mktemp("exported")
    for name in ("stm32f746", "nucleo-l4r5zi", "bluepill", "nucleo-f401re"):
        pipeline.export(MODEL, load_board(name), folder / name)
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture
def folder(exported: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the F746's, to be built in."""
    return Path(shutil.copytree(exported["stm32f746"], tmp_path / "digits"))


def build(capsys: pytest.CaptureFixture[str], folder: Path, *options: str) -> dict[str, object]:
    """`edge-autoglm build` that must end well; its JSON."""
    answer = call(capsys, "build", folder, "--json", "-", *options)
    assert answer.code == 0, answer.err
    result: dict[str, object] = json.loads(answer.out)
    return result


def pio(
    *arguments: object, cwd: Path | None = None, **changes: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PIO, *map(str, arguments)], cwd=cwd, env={**os.environ, **changes},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def behaviour(image: Path, seeds: range) -> tuple[list[bytes], list[tuple[int, ...]]]:
    """Outputs, and each step's instructions, of inferences on the virtual F746."""
    pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")
    from edge_boards.virtual.counting import trampoline

    transport = MachineTransport(load_board("stm32f746"), image.read_bytes())
    counter, info = transport.machine.counter, transport.machine.image
    assert info is not None
    outputs, counts = [], []
    with Session(transport) as session:
        model = session.model()
        counter.arm(*trampoline(info.step_return))
        for seed in seeds:
            session.profile(model, seed)
            outputs.append(session.read_output(model))
            counts.append(tuple(step.instructions for step in counter.take()))
    return outputs, counts


@pytest.fixture(scope="module")
def built(core: Path, exported: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The F746's image, by PlatformIO; not to be changed."""
    folder = Path(
        shutil.copytree(exported["stm32f746"], tmp_path_factory.mktemp("built") / "digits")
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables(core).items():
            patch.setenv(name, value)
        done = pipeline.build(load_export(folder), load_board("stm32f746"), by=pipeline.PLATFORMIO)
    return done.image


def test_its_image_of_the_f746_runs_and_is_worth_the_same(
    built: Image, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Outputs equal, instructions of each step equal, and no kind of memory a percent larger."""
    ours = build(capsys, folder, "--with", "own", "--toolchain", "gcc")
    assert re.match(r"toolchain-gccarmnoneeabi 1\.120301\.0 by PlatformIO 6", built.toolchain)
    runs = [behaviour(image, range(3)) for image in (Path(str(ours["binary"])), built.binary)]
    assert runs[0] == runs[1]
    assert len(runs[0][1][0]) > 5
    kinds = ours["kinds"]
    assert isinstance(kinds, dict)
    for name, size in built.sizes.kinds:
        assert size is not None
        assert size <= 1.01 * kinds[name.replace(" ", "_")], name


def test_the_board_says_the_build_id_that_the_build_gave(built: Image) -> None:
    pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")
    image = built.binary.read_bytes()
    with Session(MachineTransport(load_board("stm32f746"), image)) as session:
        assert session.info.build_id == built.build_id


def test_another_board_that_we_link_for_is_checked_as_ours_are(
    exported: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(exported["nucleo-l4r5zi"], tmp_path / "model"))
    made = build(capsys, folder, "--with", "platformio")
    assert made["project"] == str(folder / FOLDER)
    elf = Elf.load(Path(str(made["elf"])))
    assert elf.section(".vectors") is not None
    assert elf.symbol("eag_image_bytes").value == Path(str(made["binary"])).stat().st_size


def test_an_arduino_board_is_built_by_it_without_being_asked(
    exported: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(exported["bluepill"], tmp_path / "model"))
    made = build(capsys, folder)
    elf = Elf.load(Path(str(made["elf"])))
    # No section of ours: the framework's linker script would not know it.
    assert not [s.name for s in elf.sections if "eag" in s.name]
    assert elf.find("_Z5setupv")
    kinds, memories = made["kinds"], made["memories"]
    assert isinstance(kinds, dict)
    assert isinstance(memories, dict)
    assert kinds["stack"] is None
    assert kinds["weights"] == 6840
    assert memories["sram"]["used"] > kinds["activations"] > 2000
    assert memories["flash"]["used"] == kinds["code"] + kinds["weights"]


def test_the_same_sources_give_the_same_build_and_others_another(
    folder: Path, built: Image, capsys: pytest.CaptureFixture[str]
) -> None:
    first = build(capsys, folder, "--with", "platformio")
    assert first["build_id"] == built.build_id.hex()
    binary = Path(str(first["binary"]))
    image = binary.read_bytes()
    assert image == built.binary.read_bytes()
    again = pio("run", "-d", folder / FOLDER)
    assert again.returncode == 0, again.stdout
    assert "Compiling" not in again.stdout
    source = folder / FOLDER / "runtime" / "eag_server.c"
    source.write_text(source.read_text(encoding="utf-8") + "\n/* more */\n", encoding="utf-8")
    changed = pio("run", "-d", folder / FOLDER)
    assert changed.returncode == 0, changed.stdout
    assert binary.read_bytes() != image  # by its build id
    # The command writes the project anew.
    assert build(capsys, folder, "--with", "platformio")["build_id"] == first["build_id"]
    assert binary.read_bytes() == image


def test_the_shipped_platformio_ini_makes_the_same_image(
    built: Image, exported: dict[str, Path], tmp_path: Path
) -> None:
    done = pio(
        *("run", "-d", data_path("firmware"), "-e", "stm32f746"),
        EDGE_AUTOGLM_MODEL=str(exported["stm32f746"]),
        PLATFORMIO_WORKSPACE_DIR=str(tmp_path / "work"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    image = tmp_path / "work" / "build" / "stm32f746" / "firmware.bin"
    assert image.read_bytes() == built.binary.read_bytes()


def test_the_shipped_platformio_ini_builds_a_sketch(
    exported: dict[str, Path], tmp_path: Path
) -> None:
    done = pio(
        *("run", "-d", data_path("firmware"), "-e", "nucleo-f401re"),
        EDGE_AUTOGLM_MODEL=str(exported["nucleo-f401re"]),
        PLATFORMIO_WORKSPACE_DIR=str(tmp_path / "work"),
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_model_of_another_board_is_refused(exported: dict[str, Path], tmp_path: Path) -> None:
    done = pio(
        *("run", "-d", data_path("firmware"), "-e", "stm32f746"),
        EDGE_AUTOGLM_MODEL=str(exported["bluepill"]),
        PLATFORMIO_WORKSPACE_DIR=str(tmp_path / "work"),
    )
    assert done.returncode != 0
    assert "was exported for bluepill, this is stm32f746" in done.stdout + done.stderr


def test_the_exported_folder_is_a_library_in_a_project_of_ones_own(
    exported: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "platformio.ini").write_text(
        "[env:mine]\nplatform = ststm32\nboard = bluepill_f103c8\nframework = arduino\n"
        f"lib_deps = symlink://{exported['bluepill']}\n",
        encoding="utf-8",
    )
    (tmp_path / "src" / "main.cpp").write_text(
        "#include <Arduino.h>\n#include <digits_int8.h>\n"
        "void setup() { digits_int8_init(); }\n"
        "void loop() { digits_int8_invoke(); Serial.write((const uint8_t *)digits_int8_output(0),"
        " DIGITS_INT8_OUTPUT_0_SIZE); }\n",
        encoding="utf-8",
    )
    done = pio("run", "--verbose", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    (kernel,) = [li for li in lines if "-c " in li and li.endswith("/eag_conv_2d.c")]
    (mine,) = [li for li in lines if "-c " in li and li.endswith("src/main.cpp")]
    assert re.findall(r" -O\w", kernel)[-1] == " -O2"  # the kernels' own level
    assert " -O2" not in mine


def test_a_board_may_need_a_library_of_its_framework(
    exported: dict[str, Path], tmp_path: Path
) -> None:
    """As the boards whose Serial is in one: named in the board file, included by nobody."""
    bluepill = load_board("bluepill")
    assert bluepill.platformio is not None
    options = ("lib_deps = Stub Extra Library", "lib_archive = no")
    board = replace(bluepill, platformio=replace(bluepill.platformio, options=options))
    folder = load_export(Path(shutil.copytree(exported["bluepill"], tmp_path / "model")))
    image = pipeline.build(folder, board, by=pipeline.PLATFORMIO).image
    text = image.map.read_text(encoding="utf-8")
    assert "stub_extra.cpp.o" in text


class TestRefusals:
    def test_no_platformio(self, folder: Path, tmp_path: Path) -> None:
        """One line, and what else there is. A Python without it, and nothing on PATH."""
        blocked = tmp_path / "blocked"
        (blocked / "platformio").mkdir(parents=True)
        script = (
            "import importlib.util as u, sys; find = u.find_spec\n"
            "u.find_spec = lambda n, *a: None if n == 'platformio' else find(n, *a)\n"
            "from edge_autoglm.cli import main; sys.exit(main(sys.argv[1:]))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, "build", str(folder), "--with", "platformio"],
            env=environment(PATH="/nonexistent", PLATFORMIO_CORE_DIR=str(tmp_path)),
            capture_output=True, text=True,
        )  # fmt: skip
        line = done.stderr.splitlines()[-1]
        assert done.returncode == 1
        assert "PlatformIO is not installed" in line
        assert "pip install platformio" in line
        assert "--with own builds without it" in line
        assert not (folder / FOLDER).exists()

    @pytest.mark.parametrize(
        ("gone", "named"),
        [
            ("platforms/ststm32", "platform ststm32"),
            ("packages/toolchain-gccarmnoneeabi", "toolchain-* of platform ststm32"),
            ("packages/tool-scons", "tool-scons"),
        ],
    )
    def test_a_package_that_is_not_installed_is_said_at_once(
        self,
        gone: str,
        named: str,
        core: Path,
        folder: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        poorer = Path(shutil.copytree(core, tmp_path / "core", symlinks=True))
        shutil.rmtree(poorer / gone)
        monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(poorer))
        begun = time.monotonic()
        line = last_line(call(capsys, "build", folder, "--with", "platformio"))
        assert time.monotonic() - begun < 30  # asking the registry in vain takes a minute
        assert f"PlatformIO has not installed {named};" in line
        assert line.endswith(f"pkg install -d {folder / FOLDER} -e stm32f746")

    def test_a_framework_that_is_not_installed(
        self,
        core: Path,
        exported: dict[str, Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        poorer = Path(shutil.copytree(core, tmp_path / "core", symlinks=True))
        shutil.rmtree(poorer / "packages" / "framework-arduinoststm32")
        monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(poorer))
        folder = Path(shutil.copytree(exported["bluepill"], tmp_path / "model"))
        line = last_line(call(capsys, "build", folder))
        assert "has not installed framework-* of platform ststm32" in line

    def test_options_that_do_not_go_together(
        self, folder: Path, exported: dict[str, Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        call(capsys, "build", folder, "--with", "make").refused("one of own, platformio", code=2)
        call(capsys, "build", exported["bluepill"], "--with", "own").refused(
            "bluepill is linked by its Arduino core", code=2
        )
        call(capsys, "build", folder, "--with", "platformio", "--toolchain", "gcc").refused(
            "PlatformIO brings the compiler", code=2
        )

    def test_somebody_elses_project_is_left_alone(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        theirs = folder / FOLDER / "platformio.ini"
        theirs.parent.mkdir()
        theirs.write_text("[env:mine]\n", encoding="utf-8")
        line = last_line(call(capsys, "build", folder, "--with", "platformio"))
        assert "was not made by `edge-autoglm build`; move it away" in line
        assert theirs.read_text(encoding="utf-8") == "[env:mine]\n"

    def test_a_compilers_error_is_shown(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The kernels that came with the model no longer fit its sources.
        header = next(folder.glob("kernels/eag_softmax.h"))
        header.write_text("#error broken here\n", encoding="utf-8")
        monkeypatch.setattr("edge_export.sealed._check_files", lambda *_: None)
        answer = call(capsys, "build", folder, "--with", "platformio")
        assert answer.code == 1
        assert "PlatformIO could not build" in answer.err
        assert "#error broken here" in answer.err
        assert "Traceback" not in answer.err


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc to look into")
def test_an_interruption_leaves_nothing_running(folder: Path) -> None:
    process = subprocess.Popen(
        command("build", folder, "--with", "platformio"), env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while not any((folder / "build").rglob("*.o")) and time.monotonic() < deadline:
        time.sleep(0.02)
    # To this process alone: what it started is its own to end.
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130, errors
    assert errors.rstrip().endswith("edge-autoglm: interrupted")
    while (left := running(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def running(folder: Path) -> list[str]:
    """Command lines of processes that name the folder, or stand in it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            place = str((entry / "cwd").readlink())
        except OSError:  # gone meanwhile
            continue
        if str(folder) in words or place.startswith(str(folder)):
            found.append(words)
    return found


def last_line(answer: Answer) -> str:
    assert answer.code == 1, answer
    assert "Traceback" not in answer.err
    return answer.err.strip().splitlines()[-1]


def test_the_project_needs_nothing_of_this_machine(built: Image, tmp_path: Path) -> None:
    """Copied elsewhere it builds to the same image."""
    assert built.project is not None
    text = (built.project / "platformio.ini").read_text(encoding="utf-8")
    assert str(built.project.parent) not in text
    copy = tmp_path / "elsewhere"
    shutil.copytree(built.project.parent, copy, ignore=shutil.ignore_patterns("build"))
    done = pio("run", cwd=copy / FOLDER)
    assert done.returncode == 0, done.stdout + done.stderr
    image = copy / "build" / "platformio" / "build" / "stm32f746" / "firmware.bin"
    assert image.read_bytes() == built.binary.read_bytes()
