"""The host's GPU run of a model: LiteRT's own GPU accelerator (WebGPU) on any Vulkan driver.

It is the family of backend that phones use, and with the software driver SwiftShader it needs no
GPU. It runs in a process of its own: what crashes there takes nobody with it, and its log, the only
place where it says what it refused, can be read.
"""

from .driver import Driver, find_driver
from .log import BackendLog, Refusal, read_log
from .session import GpuSession

__all__ = ["BackendLog", "Driver", "GpuSession", "Refusal", "find_driver", "read_log"]
