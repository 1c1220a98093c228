"""Stand-ins for flashing tools: they take the real ones' arguments, print what those print, and
end as those do.

`install` puts one on PATH. It refuses arguments that the real tool would not take, keeps what it
was told to flash, and plays the failure that STANDIN_PLAYS names. The words and exit codes are the
real tools': OpenOCD 0.12, st-flash 1.7 and 1.8, stm32flash 0.7, pyOCD 0.46, dfu-util 0.11,
esptool 5.6, picotool 2.3, PlatformIO 6.2 (src of each, and their runs without a board).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Tool = Callable[[list[str], str], int]


@dataclass(frozen=True)
class Installed:
    """A stand-in on PATH; `log` has a line a run, `flash` what it flashed last."""

    folder: Path
    name: str

    @property
    def program(self) -> Path:
        return self.folder / self.name

    @property
    def runs(self) -> list[list[str]]:
        """The arguments of each run, the inquiries after its version left out."""
        log = self.folder / "log"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return [run[1:] for line in lines if (run := json.loads(line))[0] == self.name]

    @property
    def flash(self) -> dict[int, bytes]:
        """What was flashed, by address."""
        return {
            int(path.name.removeprefix("flash-"), 16): path.read_bytes()
            for path in sorted(self.folder.glob("flash-*"))
        }


def install(folder: Path, name: str) -> Installed:
    """Puts the stand-in `name` into `folder`, which must be first on PATH."""
    program = folder / name
    program.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).resolve()}" {name} "$@"\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    return Installed(folder, name)


def main(name: str, arguments: list[str]) -> int:
    plays = os.environ.get("STANDIN_PLAYS", "")
    if arguments == VERSIONS[name][0]:
        print(os.environ.get("STANDIN_VERSION", VERSIONS[name][1]))
        return 1 if name == "stm32flash" else 0
    home = Path(os.environ["STANDIN_HOME"])
    with (home / "log").open("a", encoding="utf-8") as log:
        log.write(json.dumps([name, *arguments]) + "\n")
    if plays == "garbage" and arguments[0] != "pkg":
        sys.stdout.buffer.write(b"\xff\xfe\x00 \x1b[31m[b]no[/b]\r\n")
        return 3
    return TOOLS[name](arguments, plays)


def keep(address: int, path: str) -> int:
    """Keeps the file as flashed; gives its size."""
    content = Path(path).read_bytes()
    Path(os.environ["STANDIN_HOME"], f"flash-{address:08x}").write_bytes(content)
    return len(content)


def say(*lines: str, end: str = "\n", to: object = None) -> None:
    for line in lines:
        print(line, end=end, file=to or sys.stdout, flush=True)  # type: ignore[call-overload]


def half_way(plays: str) -> None:
    """What may happen to a tool while it writes."""
    if plays in ("is stubborn", "leaves a child") and os.fork() == 0:
        time.sleep(60 if plays == "is stubborn" else 20)
        os._exit(0)
    if plays == "is stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if plays in ("hangs", "is stubborn"):
        while True:
            time.sleep(60)
    if plays == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if plays == "chatters":
        while True:
            say("Info : still polling")
            time.sleep(0.02)


class Parser(argparse.ArgumentParser):
    def __init__(self, tool: str) -> None:
        super().__init__(prog=tool, add_help=False, allow_abbrev=False)


def openocd(arguments: list[str], plays: str) -> int:
    parser = Parser("openocd")
    parser.add_argument("-f", action="append", default=[])
    parser.add_argument("-c", action="append", default=[])
    given = parser.parse_args(arguments)
    say("Open On-Chip Debugger 0.12.0", "Licensed under GNU GPL v2", to=sys.stderr)
    words = {
        "no probe": ["Error: open failed", "in procedure 'program'", "** OpenOCD init failed **"],
        "no config": ["embedded:startup.tcl:28: Error: Can't find board/x.cfg"],
        "no permission": [
            "Error: libusb_open() failed with LIBUSB_ERROR_ACCESS", "Error: open failed",
        ],
        "no target": ["Error: init mode failed (unable to connect to the target)"],
        "another chip": ["edge-autoglm: chip 0x413", "shutdown command invoked"],
        "no power": ["Error: target voltage may be too low for reliable debugging"],
    }  # fmt: skip
    if plays in words:
        say(*words[plays], to=sys.stderr)
        return 1
    program = re.fullmatch(r"program \{(.+)\} (0x[0-9a-f]+) verify reset exit", given.c[-1])
    assert program is not None, given.c
    say("Info : STLINK V2J40M27 (API v2) VID:PID 0483:374B", to=sys.stderr)
    say("Info : device id = 0x10016449", "** Programming Started **", to=sys.stderr)
    half_way(plays)
    size = keep(int(program[2], 16), program[1])
    say("** Programming Finished **", "** Verify Started **", to=sys.stderr)
    if plays == "differs":
        say("Error: checksum mismatch - attempting binary compare", "** Verify Failed **",
            to=sys.stderr)  # fmt: skip
        return 1
    say(f"verified {size} bytes in 0.3s", "** Verified OK **", "** Resetting Target **",
        "shutdown command invoked", to=sys.stderr)  # fmt: skip
    return 0


def st_info(arguments: list[str], plays: str) -> int:
    assert arguments == ["--probe"]
    chip = 0x413 if plays == "another chip" else 0x449
    say("Found 1 stlink programmers", "  version:    V2J40S27", "  serial:     066BFF303435554157",
        "  flash:      1048576 (pagesize: 2048)", "  sram:       327680",
        f"  chipid:     0x{chip:04x}", "  descr:      F74x/F75x")  # fmt: skip
    return 0


def st_flash(arguments: list[str], plays: str) -> int:
    parser = Parser("st-flash")
    parser.add_argument("--serial")
    parser.add_argument("--reset", action="store_true")
    parser.add_argument("command", choices=["write"])
    parser.add_argument("path")
    parser.add_argument("address")
    given = parser.parse_args(arguments)
    say("st-flash 1.7.0")
    if plays == "no probe":
        say("2026-01-01T00:00:00 WARN usb.c: Couldn't find any ST-Link devices", to=sys.stderr)
        return 255
    if plays == "no permission":
        say("ERROR usb.c: Could not open USB device 0x0483:0x374b, access error.", to=sys.stderr)
        return 255
    if plays == "busy":
        say("WARN usb.c: Stlink usb device found, but unable to claim (probably already in use?)",
            to=sys.stderr)  # fmt: skip
        return 255
    if plays == "no target":
        say("Failed to connect to target")
        return 255
    say("INFO common.c: F74x/F75x: 320 KiB SRAM, 1024 KiB flash in at least 2 KiB pages.",
        to=sys.stderr)  # fmt: skip
    say("INFO common.c: Flash page at addr: 0x08000000 erased", to=sys.stderr)
    half_way(plays)
    keep(int(given.address, 16), given.path)
    say("INFO common.c: Finished erasing 2 pages of 32768 (0x8000) bytes",
        "INFO common.c: Starting Flash write for F2/F4/F7/L4", to=sys.stderr)  # fmt: skip
    say("INFO common.c: Starting verification of write complete", to=sys.stderr)
    if plays == "differs":
        say("ERROR common.c: Verification of flash failed at offset: 512", to=sys.stderr)
        say("stlink_fwrite_flash() == -1")
        return 255
    say("INFO common.c: Flash written and verified! jolly good!", to=sys.stderr)
    return 0


def pyocd(arguments: list[str], plays: str) -> int:
    parser = Parser("pyocd")
    parser.add_argument("command", choices=["load"])
    parser.add_argument("--no-wait", action="store_true", required=True)
    parser.add_argument("--no-config", action="store_true")
    parser.add_argument("--color")
    parser.add_argument("--target", required=True)
    parser.add_argument("--uid")
    parser.add_argument("--format", choices=["bin"])
    parser.add_argument("--base-address")
    parser.add_argument("path")
    given = parser.parse_args(arguments)
    if plays == "no probe":
        which = f" matches unique ID '{given.uid}'" if given.uid else "s"
        say(f"No connected debug probe{which}")
        say("0000714 E No target device available [load_cmd]", to=sys.stderr)
        return 1
    if plays == "no target":
        say(f"0001017 C Target type {given.target} not recognized. Use 'pyocd list --targets' to "
            "see currently available target types. See <https://pyocd.io/docs/target_support.html> "
            "for how to install additional target support. [__main__]", to=sys.stderr)  # fmt: skip
        return 1
    if plays == "another chip":
        say("0002000 C No ACK received [__main__]", to=sys.stderr)
        return 1
    say("0001500 I Erasing... [loader]", to=sys.stderr)
    bar = "[" + "---|" * 9 + "----]"
    say(bar)
    say("[", "=" * 40, end="")
    say("]")
    say("0001500 I Programming... [loader]", to=sys.stderr)
    say(bar)
    say("[", "=" * 20, end="")
    half_way(plays)
    say("=" * 20, end="")
    say("]")
    size = keep(int(given.base_address, 16), given.path)
    say(f"0003500 I Erased 32768 bytes (1 sector), programmed {size} bytes (3 pages), identical 0 "
        "bytes (0 pages) at 30.00 kB/s [loader]", to=sys.stderr)  # fmt: skip
    return 0


def dfu_util(arguments: list[str], plays: str) -> int:
    parser = Parser("dfu-util")
    for name in ("--device", "--alt", "--serial", "--dfuse-address", "--download"):
        parser.add_argument(name)
    given = parser.parse_args(arguments)
    say("dfu-util 0.11", "", "Copyright 2005-2009 Weston Schmidt, Harald Welte and OpenMoko Inc.")
    say("dfu-util: Warning: Invalid DFU suffix signature", to=sys.stderr)
    if plays == "no probe":
        say("dfu-util: No DFU capable USB device available", to=sys.stderr)
        return 74
    if plays == "no permission":
        say("dfu-util: Cannot open DFU device 0483:df11 found on devnum 9 (LIBUSB_ERROR_ACCESS)",
            "dfu-util: No DFU capable USB device available", to=sys.stderr)  # fmt: skip
        return 74
    if plays == "two":
        say("dfu-util: More than one DFU capable USB device found! Try `--list' and specify the "
            "serial number or disconnect all but one device", to=sys.stderr)  # fmt: skip
        return 74
    if plays == "another chip":
        say("dfu-util: Last page at 0x0801ffff is not writeable", to=sys.stderr)
        return 74
    say(
        "Opening DFU capable USB device...",
        "Device ID 0483:df11",
        "Run-Time device DFU version 011a",
    )
    say('DfuSe interface name: "Internal Flash  "', "Downloading element to address = 0x08000000")
    for percent in (0, 50, 100):
        say(f"\rErase   \t[{'=' * (percent // 4):25}] {percent:3d}%       {percent * 10} bytes",
            end="")  # fmt: skip
    half_way(plays)
    address, _, option = given.dfuse_address.partition(":")
    assert option == "leave"
    keep(int(address, 16), given.download)
    for percent in (0, 40, 100):
        say(f"\rDownload\t[{'=' * (percent // 4):25}] {percent:3d}%       {percent * 10} bytes",
            end="")  # fmt: skip
    if plays == "cut":
        say("\ndfu-util: Error during download get_status (LIBUSB_ERROR_PIPE)", to=sys.stderr)
        return 74
    say("\nErase    done.", "File downloaded successfully", "Submitting leave request...")
    if plays in ("leaves at once", "leaves at once, older"):
        say("dfu-util: Error during download get_status", to=sys.stderr)
        return 74 if plays == "leaves at once" else 1
    return 0


def esptool(arguments: list[str], plays: str) -> int:
    parser = Parser("esptool")
    for name in ("--chip", "--port", "--baud", "--before", "--after"):
        parser.add_argument(name)
    parser.add_argument("--no-stub", action="store_true")
    old = os.environ.get("STANDIN_VERSION", "").startswith("esptool.py v4")
    parser.add_argument("command", choices=["write_flash" if old else "write-flash"])
    parser.add_argument("pieces", nargs="+")
    given = parser.parse_args(arguments)
    say("esptool v5.6.0", f"Serial port {given.port}:", "Connecting....")
    failures = {
        "no probe": "Failed to connect to Espressif device: No serial data received.",
        "another chip": "This chip is ESP32-S3, not ESP32. Wrong chip argument?",
        "no permission": "Could not open /dev/ttyUSB0, the port is busy or doesn't exist.",
        "differs": "MD5 of file does not match data in flash!",
    }
    if plays in failures:
        say("", f"A fatal error occurred: {failures[plays]}")
        return 2
    say(
        "Connected to ESP32 on /dev/ttyUSB0:",
        "Flash will be erased from 0x00010000 to 0x00020fff...",
    )
    for address, path in zip(given.pieces[::2], given.pieces[1::2], strict=True):
        say(f"Writing at {address} [===>      ]  40.0% 4000/10000 bytes...")
        half_way(plays)
        size = keep(int(address, 16), path)
        say(f"Wrote {size} bytes (900 compressed) at {address} in 0.1 seconds (1000.0 kbit/s).",
            "Hash of data verified.")  # fmt: skip
    say("Hard resetting via RTS pin...")
    return 0


def picotool(arguments: list[str], plays: str) -> int:
    parser = Parser("picotool")
    parser.add_argument("command", choices=["load"])
    parser.add_argument("-v", action="store_true")
    parser.add_argument("-x", action="store_true")
    parser.add_argument("path")
    parser.add_argument("-t", choices=["bin"])
    parser.add_argument("-o")
    parser.add_argument("--ser")
    given = parser.parse_args(arguments)
    if plays in ("no probe", "no permission"):
        say("No accessible RP-series devices in BOOTSEL mode were found.")
        if plays == "no permission":
            say("but:", "RP2040 device at bus 1, address 9 appears to be in BOOTSEL mode, but "
                "picotool was unable to connect. Maybe try 'sudo' or check your permissions."
            )  # fmt: skip
        return 249
    for percent in (0, 30, 100):
        say(f"Loading into Flash: [{'=' * (percent * 30 // 100):30}]  {percent}%\r", end="")
        if percent == 30:
            half_way(plays)
    keep(int(given.o, 16), given.path)
    say("")
    if plays == "differs":
        say("ERROR: The device contents did not match the file")
        return 246
    for percent in (0, 100):
        say(f"Verifying Flash:    [{'=' * (percent * 30 // 100):30}]  {percent}%\r", end="")
    say("", "  OK", "", "The device was rebooted to start the application.")
    return 0


def pio(arguments: list[str], plays: str) -> int:
    if arguments[:2] == ["pkg", "list"]:
        if plays != "no platform":
            say("Platform ststm32 @ 19.6.0 (required: ststm32)", "+-- toolchain-gccarmnoneeabi")
        return 0
    parser = Parser("pio")
    parser.add_argument("command", choices=["run"])
    parser.add_argument("--project-dir", required=True)
    parser.add_argument("--environment", required=True)
    parser.add_argument("--target", action="append", required=True)
    parser.add_argument("--upload-port")
    given = parser.parse_args(arguments)
    assert given.target == ["nobuild", "upload"]
    say(f"Processing {given.environment} (platform: ststm32; board: disco_f746ng)")
    if plays == "no probe":
        say("Uploading .pio/build/stm32f746/firmware.elf", "Error: open failed", to=sys.stderr)
        say("*** [upload] Error 1", to=sys.stderr)
        return 1
    project = Path(given.project_dir)
    # A project that it has not built yet finds its build folder emptied; its script fills it.
    scripted = "extra_scripts = pre:place.py" in (project / "platformio.ini").read_text()
    built = project / "image" if scripted else project / ".pio" / "build" / given.environment
    say("Uploading .pio/build/stm32f746/firmware.elf", "** Programming Started **")
    half_way(plays)
    keep(0, str(built / "firmware.bin"))
    if (built / "firmware.elf").exists():
        keep(1, str(built / "firmware.elf"))
    say("** Verified OK **", "========== [SUCCESS] Took 2.11 seconds ==========")
    return 0


TOOLS: dict[str, Tool] = {
    "openocd": openocd,
    "st-info": st_info,
    "st-flash": st_flash,
    "pyocd": pyocd,
    "dfu-util": dfu_util,
    "esptool": esptool,
    "picotool": picotool,
    "pio": pio,
}
VERSIONS: dict[str, tuple[list[str], str]] = {
    "openocd": (["--version"], "Open On-Chip Debugger 0.12.0\nLicensed under GNU GPL v2"),
    "st-info": (["--version"], "v1.7.0"),
    "st-flash": (["--version"], "v1.7.0"),
    "pyocd": (["--version"], "0.46.0"),
    "dfu-util": (["--version"], "dfu-util 0.11\n"),
    "esptool": (["version"], "esptool v5.6.0\n5.6.0"),
    "picotool": (["version"], "picotool v2.3.0 (Linux, GNU-12.2.0, Release)"),
    "pio": (["--version"], "PlatformIO Core, version 6.2.0"),
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
