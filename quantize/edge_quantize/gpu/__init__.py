"""The host's GPU run of a model: LiteRT's own GPU accelerator (WebGPU) on any Vulkan driver.

It is the family of backend that phones use, and with the software driver SwiftShader it needs no
GPU. It runs in a process of its own: what crashes there takes nobody with it, and its log, the only
place where it says what it refused, can be read.

Upwards: `log` (what the backend said), `driver` (what is on this machine), `process` (LiteRT in a
process, run by `worker`), `loaded` (a model in it), `probe` (a tiny one), `choice`, `session`.
"""

from .choice import Choice, choose_driver, find_driver
from .driver import Driver
from .log import BackendLog, Refusal, read_log
from .probe import Probe, probe
from .session import GpuRun, GpuSession

__all__ = [
    "BackendLog",
    "Choice",
    "Driver",
    "GpuRun",
    "GpuSession",
    "Probe",
    "Refusal",
    "choose_driver",
    "find_driver",
    "probe",
    "read_log",
]
