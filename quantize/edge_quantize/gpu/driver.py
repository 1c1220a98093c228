"""Which Vulkan driver LiteRT's GPU accelerator is given, and how it is told."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edge_quantize.errors import GpuUnavailableError

# SwiftShader and a Vulkan loader, as Debian's `chromium-common` lays them down.
_CHROMIUM = Path("/usr/lib/chromium")
_ICD = "vk_swiftshader_icd.json"
_LOADER = "libvulkan.so.1"
SETUP = "edge-autoglm setup gpu"


@dataclass(frozen=True)
class Driver:
    """A Vulkan driver. `icd` is the manifest that the loader reads, None for the system's own
    choice; `loader` is a libvulkan.so.1 to take, None for the system's. `software`: it computes on
    the CPU (SwiftShader)."""

    name: str
    software: bool
    icd: Path | None
    loader: Path | None

    def environment(self) -> dict[str, str]:
        """What a process that uses it has in its environment, beside what is there already."""
        found: dict[str, str] = {}
        if self.icd is not None:
            found["VK_DRIVER_FILES"] = found["VK_ICD_FILENAMES"] = str(self.icd)
        if self.loader is not None:
            before = os.environ.get("LD_LIBRARY_PATH", "")
            found["LD_LIBRARY_PATH"] = os.pathsep.join(
                filter(None, [str(self.loader.parent), before])
            )
        return found


def cache_folder() -> Path:
    """Where `setup gpu` puts SwiftShader."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "edge-autoglm" / "gpu"


def find_driver() -> Driver:
    """The driver to use: SwiftShader from the user's cache, else from an installed Chromium.

    Raises GpuUnavailableError, with the one command that mends it.
    """
    for folder in (cache_folder(), _CHROMIUM):
        if (folder / _ICD).is_file() and (folder / _LOADER).is_file():
            return Driver("SwiftShader", True, folder / _ICD, folder / _LOADER)
    raise GpuUnavailableError(
        f"no Vulkan driver to check the GPU's result with; run `{SETUP}`, which takes SwiftShader "
        "from the system's package manager"
    )
