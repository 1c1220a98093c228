"""Which phones are attached, which of them is meant, and what it is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge_autoglm.errors import PhoneError

from .adb import Adb
from .values import Condition, Phone

_MEND = {
    "unauthorized": "unlock it and allow USB debugging for this computer",
    "authorizing": "unlock it and allow USB debugging for this computer",
    "offline": "unplug it and plug it in again, or run `adb reconnect offline`",
    "no permissions": "this user may not open it: see the udev rules (package "
    "android-sdk-platform-tools-common), then plug it in again",
    "recovery": "it is in recovery; let it start Android",
    "sideload": "it is in recovery; let it start Android",
    "rescue": "it is in recovery; let it start Android",
    "bootloader": "it is in its bootloader; let it start Android",
    "host": "it is not a phone",
}
_STATE = re.compile(r"^(?P<serial>\S+)\s+(?P<state>no permissions|\S+)(?P<rest>.*)$")
# Property names differ by Android's version and the chip's maker; the first that is set counts.
_PROPERTIES = {
    "maker": ("ro.product.manufacturer",),
    "model": ("ro.product.model",),
    "android": ("ro.build.version.release",),
    "sdk": ("ro.build.version.sdk",),
    "soc": ("ro.soc.model", "ro.board.platform", "ro.hardware"),
    "soc_maker": ("ro.soc.manufacturer",),
    "abi": ("ro.product.cpu.abi",),
}
_PROPERTY = re.compile(r"^\[(?P<name>[^]]+)\]: \[(?P<value>.*)\]$", re.MULTILINE)
_LEAST_SDK = 23  # the benchmark app's minSdkVersion


class NoPhoneError(PhoneError):
    """No phone that could be used, or several and none named; the message lists them."""


@dataclass(frozen=True)
class Attached:
    """A line of `adb devices -l`."""

    serial: str
    state: str
    model: str

    def __str__(self) -> str:
        return " ".join(filter(None, (self.serial, self.model, f"({self.state})")))


def read_devices(text: str) -> tuple[Attached, ...]:
    """What `adb devices -l` prints; what stands before the list is left out."""
    _, found, rest = text.partition("List of devices attached")
    devices = []
    for line in rest.splitlines() if found else ():
        match = _STATE.match(line)
        if match is None:
            continue
        model = re.search(r"\bmodel:(\S+)", match["rest"])
        name = model[1].replace("_", " ") if model else ""
        devices.append(Attached(match["serial"], match["state"], name))
    return tuple(devices)


def choose(adb: Adb, serial: str | None) -> Adb:
    """adb bound to the phone that is meant: the one named, else the only one that is ready.

    Raises NoPhoneError: none, several, or it is not ready; with what to do. PhoneError: adb cannot
    list them.
    """
    answer = adb.call("devices", "-l")
    if not answer.good:
        raise PhoneError(f"adb lists no devices: {answer.said}; run `adb kill-server`")
    devices = read_devices(answer.out)
    listed = "; ".join(map(str, devices))
    if serial is not None:
        named = [device for device in devices if device.serial == serial]
        if not named:
            there = f"attached: {listed}" if devices else "no phone is attached"
            raise NoPhoneError(f"--serial: no phone {serial}; {there}")
        return _ready(adb, named[0])
    if not devices:
        raise NoPhoneError(
            "no phone is attached; plug one in, and turn on USB debugging in its developer options"
        )
    ready = [device for device in devices if device.state == "device"]
    if len(ready) > 1:
        raise NoPhoneError(f"{len(ready)} phones; choose one with --serial: {listed}")
    return _ready(adb, ready[0] if ready else devices[0])


def _ready(adb: Adb, device: Attached) -> Adb:
    if device.state != "device":
        mend = _MEND.get(device.state, "it must be in state `device`")
        raise NoPhoneError(f"{device.serial} is {device.state}: {mend}")
    return adb.to(device.serial)


def describe(adb: Adb) -> Phone:
    """What the phone is. Raises NoPhoneError where its Android is too old for the app."""
    values = {
        match["name"]: match["value"] for match in _PROPERTY.finditer(adb.shell("getprop").out)
    }
    facts = {
        key: next((values[name] for name in names if values.get(name)), "")
        for key, names in _PROPERTIES.items()
    }
    sdk = int(facts["sdk"]) if facts["sdk"].isdigit() else None
    soc_maker = facts.pop("soc_maker")
    if soc_maker and soc_maker.lower() not in facts["soc"].lower():
        facts["soc"] = f"{soc_maker} {facts['soc']}".strip()
    phone = Phone(
        adb.serial, facts["maker"], facts["model"], facts["android"], sdk, facts["soc"],
        facts["abi"], emulator="1" in (values.get("ro.kernel.qemu"), values.get("ro.boot.qemu")),
    )  # fmt: skip
    if sdk is not None and sdk < _LEAST_SDK:
        raise NoPhoneError(
            f"{phone.title}: the benchmark app needs Android 6 (API {_LEAST_SDK}) or later"
        )
    return phone


def condition(adb: Adb) -> Condition:
    """How warm, charged and awake the phone is; what it does not tell is None."""
    text = adb.shell(
        "dumpsys thermalservice 2>/dev/null | grep -m1 'Thermal Status'; "
        "dumpsys battery 2>/dev/null | grep -E '^ *(level|temperature):'; "
        "echo low_power=$(settings get global low_power 2>/dev/null); "
        "dumpsys power 2>/dev/null | grep -m1 'mWakefulness='"
    ).out
    thermal = _number(r"Thermal Status: (\d+)", text)
    tenths = _number(r"temperature: (-?\d+)", text)
    saving = _number(r"low_power=(\d+)", text)
    wake = re.search(r"mWakefulness=(\w+)", text)
    return Condition(
        thermal=thermal,
        battery=_number(r"level: (\d+)", text),
        battery_celsius=None if tenths is None else tenths / 10,
        power_save=None if saving is None else saving == 1,
        awake=None if wake is None else wake[1] == "Awake",
    )


def free_bytes(adb: Adb, folder: str) -> int | None:
    """Free space of a folder on the phone, None where its `df` cannot be read."""
    lines = adb.shell(f"df -k {folder}").out.strip().splitlines()
    fields = lines[-1].split() if len(lines) > 1 else []
    # Filesystem, 1K-blocks, Used, Available, Use%, Mounted on
    return int(fields[3]) * 1024 if len(fields) >= 6 and fields[3].isdigit() else None


def _number(pattern: str, text: str) -> int | None:
    match = re.search(pattern, text)
    return int(match[1]) if match else None
