"""Board files: every fault told with file, line and key; folders of the user's own."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_boards import BoardFileError, BoardsError, UnknownBoardError, data_path, load_board
from edge_boards.loader import list_boards, read_board
from edge_boards.ports import known_ports, port_needs
from edge_boards.schema import TABLES

TEXT = (data_path("catalog") / "stm32f746.toml").read_text()


def line_of(text: str, start: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if line.startswith(start))


def fault(tmp_path: Path, text: str, name: str = "stm32f746.toml") -> list[str]:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(BoardFileError) as caught:
        read_board(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}:") for line in lines)
    return [line.removeprefix(f"{path}:") for line in lines]


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        ("hz = 216_000_000", 'hz = "fast"', "clock.hz", "is a string; allowed: an integer"),
        ("hz = 216_000_000", "hz = 0", "clock.hz", "from 1 to"),
        ("hz = 216_000_000", "hz = 0x" + "f" * 5000, "clock.hz", "is far too large"),
        ("hz = 216_000_000", "hz = nan", "clock.hz", "is a number"),
        ("hz = 216_000_000", "hz = 1979-05-27", "clock.hz", "is a date or time"),
        ("[clock]", '[clock]\n"a\\nb" = 1', "clock.'a\\nb'", "unknown key"),
        ("hz = 216_000_000", "hz = true", "clock.hz", "is a boolean"),
        ("hz = 216_000_000", "herz = 1", "clock.herz", "unknown key; did you mean hz?"),
        ("cortex-m7", "cortex-m8", "core.name", "did you mean cortex-m"),
        ("[stack]", "[stock]", "stock", "did you mean stack?"),
        ('["dsp"]', '["dps"]', "core.features", "did you mean dsp?"),
        ("size = 4_096", "size = 4_100", "stack.size", "a multiple of 32"),
        ("size = 4_096", "size = 16_384", "stack.size", "more than dtcm reserves"),
        ('memory = "dtcm"', 'memory = "ccm"', "stack.memory", "no memory of this board"),
        ('memory = "dtcm"', 'memory = "flash"', "stack.memory", "is flash; allowed"),
        ("0x2001_0000", "0x2000_8000", "memories.sram.address", "overlap"),
        ("itcm = 0x0020_0000", "itcm = 0x100", "memories.flash.aliases", "overlaps"),
        ("131_072, 2", "131_073, 2", "memories.flash.sectors", "add up to"),
        ("sectors = [", "sector_size = 4_096\nsectors = [", "memories.flash.sector_size", "one of"),
        (
            "size = 262_144",
            "sector_size = 3\nsize = 262_144",
            "memories.sram.sector_size",
            "divides",
        ),
        ("reserved = 16_384", "reserved = 99_999", "memories.dtcm.reserved", "than the"),
        ('alias = "axi"', 'alias = "ahb"', "execution.flash_alias", "axi, itcm"),
        ('rx = "PB7"', 'rx = "B7"', "serial.console.rx", "a pin such as PA9"),
        ('link = "bootloader"', 'link = "x"', "programmers[3].link", "bootloader, console"),
        ('tested = "emulator"', 'tested = "sure"', "tested", "hardware, emulator, compiled"),
        ('"cortex-m7"', '"xtensa-lx6"', "core.name", "started by a framework only"),
        ('"cortex-m7"', '"cortex-m0plus"', "core.name", "ports of our own need Armv7-M or later"),
        ('name = "stm32f746"', 'name = "other"', "name", "the file's own name"),
        ("schema = 1", "schema = 2", "schema", "allowed: 1"),
    ],
)
def test_a_fault_is_told_with_its_line_and_key(
    tmp_path: Path, old: str, new: str, key: str, words: str
) -> None:
    at = TEXT.index(old)
    lines = fault(tmp_path, TEXT[:at] + new + TEXT[at + len(old) :])
    told = [line for line in lines if f": key {key}: " in line]
    assert len(told) == 1
    assert words in told[0]
    assert told[0].startswith(f"{TEXT.count(chr(10), 0, at) + 1}: ")


def test_a_missing_key_is_told_at_its_table(tmp_path: Path) -> None:
    lines = fault(tmp_path, TEXT.replace("hz = 216_000_000\n", ""))
    start = f"{line_of(TEXT, '[clock]')}: key clock.hz: missing; it needs an integer from 1 to "
    assert lines == [start + "10000000000 (core clock that the port sets up)"]


def test_all_faults_of_a_file_are_told_in_the_order_of_its_lines(tmp_path: Path) -> None:
    text = TEXT.replace("schema = 1", 'schema = 1\ncolour = "red"').replace("hz = 216", "hz = -216")
    text = text.replace('tx = "PA9"', "tx = 9")
    lines = fault(tmp_path, text)
    assert [line.split("key ")[1].split(":")[0] for line in lines] == [
        "colour",
        "clock.hz",
        "serial.console.tx",
        "serial.bootloader.tx",
    ]
    numbers = [int(line.split(":")[0]) for line in lines]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        ('volume = "DIS_F746NG"', "", "programmers[0].volume", "mass-storage needs it"),
        ('tx = "PA9"\n', "", "serial.console.tx", "USART1 being no USB"),
        ("alternate = 7\n", "", "serial.console.alternate", "port stm32f7 needs it (STM32: both"),
        ("chip_id = 0x449", "", "soc.chip_id", "stm32f746 needs it"),
        ("bootloader_version = 0x31", "", "virtual.bootloader_version", "stm32f746 needs it"),
        ('model = "stm32f746"', 'model = "qemu"', "virtual.machine", "qemu needs it"),
    ],
)
def test_a_fact_that_another_key_asks_for_is_told(
    tmp_path: Path, old: str, new: str, key: str, words: str
) -> None:
    lines = fault(tmp_path, TEXT.replace(old, new, 1))
    assert len(lines) == 1
    assert f": key {key}: missing" in lines[0]
    assert words in lines[0]


def test_a_framework_brings_stack_and_linker_script(tmp_path: Path) -> None:
    text = TEXT.replace('port = "stm32f7"', 'port = "arduino"')
    assert "key stack: port 'arduino' brings its own" in fault(tmp_path, text)[0]
    text = text.replace('[stack]\nmemory = "dtcm"\nsize = 4_096\n', "")
    (tmp_path / "stm32f746.toml").write_text(text)
    board = read_board(tmp_path / "stm32f746.toml")
    assert board.stack is None
    assert board.ram.name == "itcm"
    with pytest.raises(BoardsError, match="linked by its framework"):
        _ = board.own_stack


def test_a_framework_is_brought_by_platformio(tmp_path: Path) -> None:
    text = load_board("bluepill").path.read_text()
    text = re.sub(r"\[platformio\]\n(?:[^\[\n].*\n|\n)*", "", text)
    text = text.replace('[[programmers]]\nname = "platformio"\n', "")
    (line,) = fault(tmp_path, text, "bluepill.toml")
    assert "key platformio: missing; port 'arduino' is built by PlatformIO" in line


def test_what_a_port_needs_is_a_key_that_the_schema_lets_be_left_out() -> None:
    ports = data_path("firmware", "ports")
    needs = {port: port_needs(ports, port) for port in known_ports(ports)}
    assert needs["stm32f7"] == needs["stm32l4"] == ("serial.console.alternate",)
    assert needs["arduino"] == needs["mps"] == ()
    assert not TABLES["serial.*"]["alternate"].required


def test_without_a_framework_a_stack_must_be_given(tmp_path: Path) -> None:
    text = TEXT.replace('[stack]\nmemory = "dtcm"\nsize = 4_096\n', "")
    assert "key stack: missing" in fault(tmp_path, text)[0]


def test_a_link_through_the_chips_own_usb_has_no_pins(tmp_path: Path) -> None:
    text = TEXT.replace('peripheral = "USART1"\ntx = "PA9"\nrx = "PB7"', 'peripheral = "USB"')
    (tmp_path / "stm32f746.toml").write_text(text)
    console = read_board(tmp_path / "stm32f746.toml").link("console")
    assert (console.tx, console.rx) == (None, None)


def test_a_power_figure_without_a_source_is_refused(tmp_path: Path) -> None:
    power = '[[power]]\nmode = "run, 216 MHz"\nma = 100\nv = 3.3\nkind = "datasheet"\n'
    assert "key power[0].source: missing" in fault(tmp_path, f"{TEXT}\n{power}")[0]
    (tmp_path / "stm32f746.toml").write_text(f'{TEXT}\n{power}source = "my bench, multimeter"\n')
    board = read_board(tmp_path / "stm32f746.toml")
    assert board.power[0].milliwatts == pytest.approx(330)


def test_text_that_is_not_toml_is_told_with_its_line(tmp_path: Path) -> None:
    assert fault(tmp_path, "schema = 1\nname = = 2\n")[0].startswith("2: not valid TOML")


def test_keys_are_found_behind_strings_and_arrays_that_look_like_keys(tmp_path: Path) -> None:
    text = TEXT.replace(
        'vendor = "STMicroelectronics"',
        'vendor = """\n[clock]\nhz = 1\n"""',
    ).replace('features = ["dsp"]', 'features = [\n  "dsp", # ]\n  "hz = 3",\n]')
    lines = fault(tmp_path, text)
    assert [line.split("key ")[1].split(":")[0] for line in lines] == ["core.features"]
    assert int(lines[0].split(":")[0]) == line_of(text, "features")


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, len(TEXT)), junk=st.text(max_size=8), cut=st.integers(0, 60))
def test_a_damaged_file_is_a_board_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, at: int, junk: str, cut: int
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "stm32f746.toml"
    path.write_bytes((TEXT[:at] + junk + TEXT[at + cut :]).encode("utf-8", "surrogatepass"))
    message = f"{path}:"
    try:
        read_board(path)
    except BoardFileError as error:
        message = str(error)
    assert message.startswith(f"{path}:")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"[" * 5000, b"x = " + b"9" * 5000, b"x = " + b"[" * 5000]
)
def test_bytes_that_are_no_board_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(BoardFileError, match=str(path)):
        read_board(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BoardFileError, match="cannot be read: No such file"):
        load_board(tmp_path / "gone.toml")


def test_an_unknown_board_offers_the_nearest_names() -> None:
    with pytest.raises(UnknownBoardError, match="did you mean stm32f746"):
        load_board("stm32f764")
    with pytest.raises(UnknownBoardError, match="`edge-autoglm boards` lists all") as caught:
        load_board("zzz")
    assert len(str(caught.value)) < 200
    with pytest.raises(UnknownBoardError, match="no board"):
        load_board("x" * 5000)


def test_what_a_path_is_that_is_no_board_file_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("a board")
    (tmp_path / "zzz").mkdir()
    (tmp_path / "stm32f7").mkdir()
    monkeypatch.chdir(tmp_path)
    for text in (str(tmp_path), "zzz", "zzz/"):
        with pytest.raises(UnknownBoardError, match=r"is a folder, not a board.*--boards DIR"):
            load_board(text)
    for text in ("notes.txt", str(tmp_path / "notes.txt")):
        with pytest.raises(UnknownBoardError, match=r"is no \.toml file"):
            load_board(text)
    with pytest.raises(UnknownBoardError, match="did you mean stm32f7"):
        load_board("stm32f7")  # a folder's name that is nearly a board's


def test_an_alias_finds_its_board() -> None:
    assert load_board("DISCO_F746NG").name == "stm32f746"


def test_a_users_folder_adds_boards_and_hides_shipped_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder in (mine, other):
        folder.mkdir()
    changed = TEXT.replace('title = "STM32F746G-DISCO"', 'title = "mine"')
    (mine / "stm32f746.toml").write_text(changed)
    copy = changed.replace('name = "stm32f746"', 'name = "bench"', 1)
    (other / "bench.toml").write_text(copy.replace("aliases = [", 'aliases = ["b2", '))
    monkeypatch.setenv("EDGE_AUTOGLM_BOARDS", str(other))
    names = [b.name for b in list_boards([mine])]
    assert names == sorted(names)
    assert names.count("stm32f746") == names.count("bench") == 1
    assert load_board("stm32f746", [mine]).title == "mine"
    assert load_board("stm32f746").title == "STM32F746G-DISCO"
    assert load_board("b2").name == "bench"


def test_a_folder_that_does_not_exist_is_told_with_its_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BoardsError, match="--boards"):
        list_boards([tmp_path / "gone"])
    monkeypatch.setenv("EDGE_AUTOGLM_BOARDS", os.pathsep.join([str(tmp_path), "/gone"]))
    with pytest.raises(BoardsError, match=r"EDGE_AUTOGLM_BOARDS: .*gone"):
        list_boards()


def test_a_memory_or_link_that_a_board_lacks_is_told_with_those_it_has() -> None:
    board = load_board("stm32f746")
    with pytest.raises(BoardsError, match="no memory 'ccm'; it has flash, itcm, dtcm, sram"):
        board.memory("ccm")
    with pytest.raises(BoardsError, match="no serial link 'swo'; it has console, bootloader"):
        board.link("swo")


def test_importing_the_package_costs_no_parser_and_no_compiler() -> None:
    import subprocess  # kept here: only this test starts a process
    import sys

    code = "import sys, edge_boards; print(*sys.modules)"
    roots = os.pathsep.join(p for p in sys.path if p.endswith("boards"))
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": roots},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "edge_boards" in loaded
    assert not {"tomllib", "subprocess", "unicorn", "capstone", "ziglang"} & set(loaded)


PROGRAMMERS = TEXT[TEXT.index("[[programmers]]") : TEXT.index("[pins]")]
VIRTUAL = TEXT[TEXT.index("[virtual]") :]


def test_a_board_that_nobody_can_flash_must_at_least_be_virtual(tmp_path: Path) -> None:
    text = TEXT.replace(PROGRAMMERS, "")
    (tmp_path / "stm32f746.toml").write_text(text)
    assert read_board(tmp_path / "stm32f746.toml").programmers == ()
    (line,) = fault(tmp_path, text.replace(VIRTUAL, ""))
    assert "key programmers: missing; a board without [virtual] needs [[programmers]]" in line


@pytest.mark.parametrize("plug", ["usb", "rs232"])
def test_a_link_that_ends_in_a_plug_on_the_board_needs_no_pins(tmp_path: Path, plug: str) -> None:
    text = TEXT.replace('tx = "PA9"\nrx = "PB7"\n', "", 1)
    text = text.replace('through = "st-link"', f'through = "{plug}"')
    (tmp_path / "stm32f746.toml").write_text(text)
    assert read_board(tmp_path / "stm32f746.toml").link("console").tx is None
