"""What is plugged into a machine, as Linux shows it: a tree like /sys, serial ports, mounted disks,
and which flashing tools are installed (tests/tool_standins.py)."""

from __future__ import annotations

from pathlib import Path

import pytest
from serial.tools.list_ports_common import ListPortInfo
from tool_standins import install

from edge_autoglm.device import probes

DISCO_DISK = "DIS_F746NG"
"""Label of the disk of board stm32f746."""

FIRST, SECOND = "066BFF303435554157", "0669FF555189754867"
"""Serial numbers of two ST-LINKs."""


class Desk:
    """What is plugged into this machine, as Linux shows it."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self.patch = root, patch
        self.usb, self.tools, self.mounts = root / "usb", root / "bin", root / "mounts"
        self.blocks = root / "block"
        for folder in (self.usb, self.tools, self.blocks):
            folder.mkdir()
        self.mounts.write_text("")
        self.ports: list[ListPortInfo] = []
        patch.setattr(probes, "SYSFS", self.usb)
        patch.setattr("edge_autoglm.flash.disks.MOUNTS", self.mounts)
        patch.setattr("edge_autoglm.flash.disks.BLOCKS", self.blocks)
        patch.setattr("serial.tools.list_ports.comports", lambda **_: self.ports)
        patch.setenv("PATH", str(self.tools))
        patch.setenv("PLATFORMIO_CORE_DIR", str(root / "no platformio"))
        patch.setenv("STANDIN_HOME", str(self.tools))
        patch.setattr("edge_autoglm.flash.tool.importlib.util.find_spec", lambda _: None)
        patch.setattr("edge_autoglm.flash.tool._scripts", lambda: str(root / "no scripts"))
        # There is no such device in /dev, nor need there be.
        patch.setattr(probes.UsbDevice, "usable", True)

    def installed(self, *names: str) -> None:
        for name in names:
            install(self.tools, name)

    def plug(
        self, vendor: int, product: int, serial: str = "", name: str = "", port: str = ""
    ) -> str:
        """A USB device; with `port`, a serial port of that name. Gives the port's path."""
        number = len(list(self.usb.iterdir())) + 1
        folder = self.usb / f"1-{number}"
        folder.mkdir()
        facts = {"idVendor": f"{vendor:04x}", "idProduct": f"{product:04x}", "busnum": "1"}
        facts |= {"devnum": str(number), "serial": serial, "product": name}
        for key, value in facts.items():
            if value:
                (folder / key).write_text(value + "\n")
        if not port:
            return ""
        path = self.root / port
        path.touch()
        info = ListPortInfo(str(path))
        info.vid, info.pid, info.serial_number, info.product = vendor, product, serial or None, name
        info.location = folder.name
        self.ports.append(info)
        return str(path)

    def adapter(self) -> str:
        return self.plug(0x1A86, 0x7523, port="ttyUSB0")

    def st_link(self, serial: str = FIRST, port: str = "ttyACM0") -> str:
        return self.plug(0x0483, 0x374B, serial, "STM32 STLink", port)

    def disk(self, label: str, serial: str) -> Path:
        """A mounted disk of the device that was plugged in with this serial number."""
        found = [each for each in self.usb.glob("*/serial") if each.read_text().strip() == serial]
        device = found[0].parent
        number = device.name[-1]
        block = device / "host" / "block" / f"sd{number}"
        block.mkdir(parents=True)
        (self.blocks / block.name).symlink_to(block)
        folder = self.root / "media" / number / label
        folder.mkdir(parents=True)
        with self.mounts.open("a") as mounts:
            mounts.write(f"/dev/{block.name} {folder} vfat rw 0 0\n")
        return folder
