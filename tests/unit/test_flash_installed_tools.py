"""The real tools take our arguments, and what they say without a board is understood.

Each is told a probe that nobody has, so that no board of the machine's user is ever written to.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edge_autoglm.flash.job import Job
from edge_autoglm.flash.openocd import chip_check
from edge_autoglm.flash.programmers import PROGRAMMERS
from edge_autoglm.flash.runner import ToolError
from edge_autoglm.flash.tool import FoundTool, ToolMissingError, brief, find_tool
from edge_boards.board import Board, Programmer
from edge_boards.loader import load_board

NOBODY = "0000EDGEAUTOGLM0000"
ENTRIES = [
    (Programmer("openocd", configs=("board/stm32f746g-disco.cfg",)), "no probe was found"),
    (Programmer("openocd", configs=("interface/cmsis-dap.cfg", "target/stm32f7x.cfg")), "no probe"),
    (Programmer("st-flash"), "no ST-LINK was found"),
    (Programmer("dfu-util", usb="0483:df11", alt=0), "no bootloader is attached"),
    (Programmer("pyocd", target="nrf52840"), "no probe was found"),
]


def installed(name: str) -> FoundTool:
    tool = PROGRAMMERS[name].tool
    assert tool is not None
    try:
        return find_tool(tool)
    except ToolMissingError as error:
        pytest.skip(str(error))


@pytest.fixture
def board() -> Board:
    """Without a device id, which st-info would look for at any probe."""
    board = load_board("stm32f746")
    return replace(board, soc=replace(board.soc, chip_id=None))


@pytest.mark.parametrize(("entry", "words"), ENTRIES, ids=lambda each: getattr(each, "name", ""))
def test_a_probe_that_is_not_there_is_said_to_be_missing(
    entry: Programmer, words: str, board: Board
) -> None:
    tool = installed(entry.name)
    assert tool.version
    job = Job(board, entry, bytes(1000), board.flash.address, None, tool=tool, probe=NOBODY)
    with pytest.raises(ToolError, match=words) as caught:
        PROGRAMMERS[entry.name].program(job)
    assert "nothing was written" in str(caught.value)


def test_openocd_names_a_configuration_file_that_it_lacks(board: Board) -> None:
    entry = Programmer("openocd", configs=("board/no_such_board.cfg",))
    tool = installed("openocd")
    job = Job(board, entry, bytes(1000), board.flash.address, None, tool=tool, probe=NOBODY)
    with pytest.raises(ToolError, match="lacks that configuration file"):
        PROGRAMMERS["openocd"].program(job)


@pytest.mark.parametrize(
    ("read", "said", "unsaid"),
    [
        ("0x10016449", "on to the program", "edge-autoglm"),
        ("0x10016413", "edge-autoglm: chip 0x413", "on to the program"),
    ],
)
def test_openocds_own_tcl_goes_on_only_with_the_right_chip(
    read: str, said: str, unsaid: str, board: Board
) -> None:
    """Its interpreter runs our check; what needs a probe is replaced."""
    tool = installed("openocd")
    right = replace(board, soc=replace(board.soc, chip_id=0x449))
    check = chip_check(Job(right, Programmer("openocd"), b"", right.flash.address, None))
    probe = (
        "proc init {} {}; proc reset {how} {}; "
        f"proc read_memory {{address width count}} {{ return {read} }}"
    )
    # As `program` gets them: the check first, what follows in a command of its own.
    text = brief(
        (*tool.command, "-c", probe, "-c", check, "-c", "echo {on to the program}; shutdown")
    )
    assert said in text
    assert unsaid not in text


def test_every_openocd_board_of_the_catalogue_names_files_that_openocd_has() -> None:
    from edge_boards.loader import list_boards

    tool = installed("openocd")
    root = next(
        (
            folder
            for folder in (
                Path("/usr/share/openocd/scripts"),
                Path(shutil.which("openocd") or "").parent.parent / "share/openocd/scripts",
            )
            if folder.is_dir()
        ),
        None,
    )
    if root is None:
        pytest.skip(f"{tool.describe()}: its scripts are not where they usually are")
    missing = [
        f"{board.name}: {config}"
        for board in list_boards()
        for entry in board.programmers
        for config in entry.configs
        if not (root / config).is_file()
    ]
    assert not missing
