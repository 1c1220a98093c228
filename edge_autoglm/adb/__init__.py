"""A benchmark on an Android phone, through adb and the public benchmark app of TensorFlow Lite."""

from .adb import Adb, AdbMissingError, PhoneGoneError, find_adb
from .benchmark import run_on_phone
from .device import NoPhoneError
from .values import PhoneBenchmark, PhoneRun, Settings

__all__ = [
    "Adb", "AdbMissingError", "NoPhoneError", "PhoneBenchmark", "PhoneGoneError", "PhoneRun",
    "Settings", "find_adb", "run_on_phone",
]  # fmt: skip
