"""`boards check`: every fault of a file; of a valid one what it lacks, and what that brings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_tools import Answer, call

from edge_autoglm.boardcheck import Finding, findings
from edge_boards import data_path
from edge_boards.loader import list_boards, load_board, read_board

TEXT = (data_path("catalog") / "stm32f746.toml").read_text()


def write(folder: Path, text: str, name: str = "stm32f746") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def of(path: Path) -> dict[str, Finding]:
    """The findings by subject; of several programmers the last."""
    return {finding.subject: finding for finding in findings(read_board(path))}


def without(*keys: str) -> str:
    """The discovery board's file without tables or lines that start with these."""
    lines, skipping = [], False
    for line in TEXT.splitlines():
        if line.startswith("["):
            skipping = line.startswith(keys)
        if not skipping and not line.startswith(keys):
            lines.append(line)
    return "\n".join(lines)


def test_a_valid_file_is_0_and_says_what_is_there_and_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = call(capsys, "boards", "check", "stm32f746")
    assert answer.code == 0
    assert "valid, STM32F746G-DISCO" in answer.out.splitlines()[0]
    assert "ok       port        firmware/ports/stm32f7" in answer.out
    assert "ok       programmer  stm32-uart, tested: emulator" in answer.out
    assert "missing  power       no [[power]] figure" in answer.out
    assert "-> an energy estimate in reports" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80


def test_an_invalid_file_is_1_with_every_fault_and_no_findings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = TEXT.replace("hz = 216", "hz = -216").replace("cortex-m7", "cortex-m8")
    path = write(tmp_path, text)
    answer = call(capsys, "boards", "check", path)
    assert answer.code == 1
    assert [line.split(": key ")[1].split(":")[0] for line in answer.out.splitlines()] == [
        *("core.name", "clock.hz"),
    ]
    assert answer.err == f"edge-autoglm: {path}: 2 faults\n"
    found = as_json(call(capsys, "boards", "check", path, "--json", "-"))
    assert (found["valid"], found["board"], found["findings"]) == (False, None, [])
    assert [(fault["key"], fault["line"]) for fault in found["faults"]] == [
        ("core.name", 1 + text[: text.index("cortex-m8")].count("\n")),
        ("clock.hz", 1 + text[: text.index("-216")].count("\n")),
    ]


def as_json(answer: Answer) -> Any:
    return json.loads(answer.out)


def test_text_that_is_not_toml_is_a_fault_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "schema = 1\nname = = 2\n")
    answer = call(capsys, "boards", "check", path)
    assert answer.code == 1
    assert f"{path}:2: not valid TOML" in answer.out
    assert as_json(call(capsys, "boards", "check", path, "--json", "-"))["faults"][0]["line"] == 2


def test_what_cannot_be_read_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(capsys, "boards", "check", tmp_path / "gone.toml").refused("gone.toml", "No such file")
    call(capsys, "boards", "check", "zzz").refused("zzz", "edge-autoglm boards")
    assert call(capsys, "boards", "check").code == 2


@pytest.mark.parametrize(
    ("keys", "subject", "brings"),
    [
        (("[platformio]",), "PlatformIO", "build --with platformio"),
        (("[virtual]",), "virtual", "exact instruction counts"),
        (("sources", '  "', "]"), "sources", "check the facts"),
        (("sectors",), "sectors", "emulated flash"),
        (("chip_id", "[virtual]"), "chip id", "wrong chip is refused"),
        (("[pins]",), "timing pin", "power instrument"),
        (("reserved", "[stack]"), "reserved", "room for stack"),
    ],
)
def test_what_a_file_leaves_out_is_named_with_what_it_would_bring(
    tmp_path: Path, keys: tuple[str, ...], subject: str, brings: str
) -> None:
    assert of(write(tmp_path, TEXT))[subject].state == "ok"
    text = without(*keys)
    if subject == "reserved":
        text += '\n[stack]\nmemory = "dtcm"\nsize = 4_096\n'
    if subject == "PlatformIO":
        text = text.replace('[[programmers]]\nname = "platformio"\n', "")
    finding = of(write(tmp_path, text))[subject]
    assert finding.state == "missing"
    assert brings in finding.brings


def test_a_port_that_is_nowhere_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    there = "there are arduino, host, mps, stm32f7, stm32l4"
    for name in ("stm32f9", "cortex_m", "stm32"):  # the last two are shared by ports, and are none
        text = TEXT.replace('"stm32f7"', f'"{name}"')
        finding = of(write(tmp_path, text))["port"]
        assert finding.state == "missing"
        assert finding.detail == f"no port firmware/ports/{name}; {there}"


def test_a_console_that_nothing_tells_is_missing_until_it_has_an_id(tmp_path: Path) -> None:
    through = 'through = "st-link"'
    adapter = of(write(tmp_path, TEXT.replace(through, 'through = "adapter"')))["console"]
    usb = TEXT.replace(through, 'through = "usb"')
    unnamed = of(write(tmp_path, usb))["console"]
    named = f'{usb}\n[[usb]]\nid = "1209:0001"\nrole = "console"\n'
    assert (adapter.state, unnamed.state) == ("missing", "missing")
    assert "--port auto" in adapter.brings
    assert "[[usb]]" in unnamed.detail
    assert of(write(tmp_path, named))["console"].state == "ok"


def test_kernels_that_the_core_cannot_run_are_counted_with_what_they_need() -> None:
    with_dsp, without_dsp = (
        next(f for f in findings(load_board(name)) if f.subject == "kernels")
        for name in ("stm32f746", "bluepill")
    )
    assert "others need" not in with_dsp.detail
    assert "the others need dsp" in without_dsp.detail
    assert int(without_dsp.detail.split()[0]) < int(with_dsp.detail.split()[0])


def test_what_this_machine_lacks_is_absent_and_not_a_fault_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path))
    monkeypatch.setattr("edge_boards.toolchain.zig.importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr("edge_autoglm.flash.tool._scripts", lambda: str(tmp_path))
    assert call(capsys, "boards", "check", "stm32f746").code == 0
    found = {f.subject: f for f in findings(load_board("stm32f746"))}
    assert found["compiler"].state == "absent"
    assert "install" in found["compiler"].brings
    found = {f.subject: f for f in findings(load_board("esp32"))}
    assert found["compiler"].state == "absent"
    assert "pip install platformio" in found["compiler"].brings


def test_a_board_of_a_framework_without_one_is_told_which(tmp_path: Path) -> None:
    text = load_board("bluepill").path.read_text().replace('framework = "arduino"\n', "")
    finding = of(write(tmp_path, text, "bluepill"))["PlatformIO"]
    assert finding.state == "missing"
    assert "framework = 'arduino'" in finding.brings


OWNED = [b.name for b in list_boards() if b.virtual is None or b.virtual.model != "qemu"]


@pytest.mark.parametrize("name", OWNED)
def test_a_board_that_people_own_lacks_nothing_that_its_file_could_say(name: str) -> None:
    """No figure of power is made up, no virtual board is claimed; all else is there."""
    lacking = {f.subject for f in findings(load_board(name)) if f.state == "missing"}
    lacking -= {"power", "virtual"}
    if load_board(name).link("console").through == "adapter":
        lacking -= {"console"}
    assert lacking == set()
