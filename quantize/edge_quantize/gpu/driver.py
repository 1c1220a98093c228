"""The Vulkan drivers that LiteRT's GPU accelerator may be given, and where they are looked for.

Vulkan's loader (libvulkan.so.1) reads manifests, JSON files that each name a driver's library
("ICD"). Those in the standard folders are the system's; SwiftShader, which computes on the CPU,
lies with its manifest beside every program that is built on Chromium.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from edge_quantize.errors import GpuUnavailableError

SETUP = "edge-autoglm setup gpu"
ENVIRONMENT = "EDGE_AUTOGLM_GPU"
LIBRARY = "libvk_swiftshader.so"
MANIFEST = "vk_swiftshader_icd.json"
LOADER = "libvulkan.so.1"
# Chromium of Debian and of others, and Google Chrome: each brings the three files.
PLACES = (
    Path("/usr/lib/chromium"),
    Path("/usr/lib/chromium-browser"),
    Path("/usr/lib64/chromium-browser"),
    Path("/opt/google/chrome"),
)
_SYSTEM = ("/usr/local/etc", "/etc")
_USERS = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")  # the second is the old name, for old loaders
_DEVICES = ("dri/renderD*", "nvidia[0-9]*", "dxg", "mali[0-9]*", "kgsl-3d0")


@dataclass(frozen=True)
class Driver:
    """A Vulkan driver. `icd` is the manifest that the loader reads, None for the system's own
    choice; `loader` is a libvulkan.so.1 to take, None for the system's. `software`: it computes on
    the CPU (SwiftShader). `origin` says where it was found."""

    name: str
    software: bool
    icd: Path | None
    loader: Path | None
    origin: str = ""

    def environment(self) -> dict[str, str]:
        """What a process that uses it has in its environment, beside what is there already."""
        found: dict[str, str] = {}
        if self.icd is not None:
            found = dict.fromkeys(_USERS, str(self.icd))
        if self.loader is not None:
            before = os.environ.get("LD_LIBRARY_PATH", "")
            found["LD_LIBRARY_PATH"] = os.pathsep.join(
                filter(None, [str(self.loader.parent), before])
            )
        return found


def cache_folder() -> Path:
    """Where `setup gpu` puts SwiftShader: below EDGE_AUTOGLM_CACHE, else below
    XDG_CACHE_HOME/edge-autoglm."""
    named = os.environ.get("EDGE_AUTOGLM_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return (Path(named) if named else Path(base) / "edge-autoglm") / "gpu"


def swiftshaders() -> tuple[Driver, ...]:
    """SwiftShader wherever it is: in the user's cache first, then where Chromium brings it."""
    found = []
    for folder in (cache_folder(), *PLACES):
        driver = swiftshader_in(folder)
        if driver is not None:
            found.append(driver)
    return tuple(found)


def swiftshader_in(folder: Path) -> Driver | None:
    """The SwiftShader of a folder, with the loader beside it, else the system's; None where one of
    the two is missing."""
    if not (folder / MANIFEST).is_file() or not (folder / LIBRARY).is_file():
        return None
    loader = folder / LOADER if (folder / LOADER).is_file() else None
    if loader is None and not system_has_loader():
        return None
    return Driver("SwiftShader", True, folder / MANIFEST, loader, str(folder))


def named_by_user() -> Driver | None:
    """The driver that VK_DRIVER_FILES or VK_ICD_FILENAMES name: whoever sets them wants it."""
    for name in _USERS:
        if os.environ.get(name):
            return Driver(f"the driver of {name}", False, None, _any_loader(), name)
    return None


def system_driver() -> Driver | None:
    """What the loader finds by itself; None where no manifest is installed or no loader."""
    manifests = system_manifests()
    if not manifests or not system_has_loader():
        return None
    names = ", ".join(path.name for path in manifests)
    return Driver("the system's Vulkan", False, None, None, f"the system: {names}")


def driver_of(manifest: Path) -> Driver:
    """The driver of one manifest. Raises GpuUnavailableError: it is none, or there is no loader."""
    try:
        library = json.loads(manifest.read_text("utf-8"))["ICD"]["library_path"]
    except OSError as error:
        raise GpuUnavailableError(
            f"{ENVIRONMENT}={manifest}: {error.strerror}; name a Vulkan driver's manifest "
            '(.json), "swiftshader" or "none"'
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise GpuUnavailableError(
            f"{ENVIRONMENT}={manifest}: is no manifest of a Vulkan driver (it has no ICD with a "
            "library_path)"
        ) from error
    beside = manifest.parent / LOADER
    loader = beside if beside.is_file() else _any_loader()
    if loader is None and not system_has_loader():
        raise GpuUnavailableError(
            f"no Vulkan loader ({LOADER}) for {manifest}; install libvulkan1, or run `{SETUP}`"
        )
    name = f"{Path(str(library)).name}"
    return Driver(name, False, manifest, loader, f"{ENVIRONMENT}={manifest}")


def _any_loader() -> Path | None:
    """A loader from elsewhere where the system has none; None where it has one, or none is."""
    if system_has_loader():
        return None
    folders = (cache_folder(), *PLACES)
    return next((folder / LOADER for folder in folders if (folder / LOADER).is_file()), None)


def system_has_loader() -> bool:
    """Whether a program finds libvulkan.so.1 by itself."""
    for folder in filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)):
        if Path(folder, LOADER).is_file():
            return True
    for program in ("/sbin/ldconfig", "/usr/sbin/ldconfig"):
        try:
            answer = subprocess.run(
                [program, "-p"], capture_output=True, text=True, errors="replace", timeout=10,
                check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            continue
        return LOADER in answer.stdout
    return False


def system_manifests() -> tuple[Path, ...]:
    """The manifests in the folders that the loader searches on Linux (Vulkan-Loader's
    LoaderDriverInterface.md, "Driver Discovery on Linux")."""
    home = Path("~").expanduser()
    config = os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    data = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    bases = [
        os.environ.get("XDG_CONFIG_HOME") or str(home / ".config"), *config.split(os.pathsep),
        *_SYSTEM, os.environ.get("XDG_DATA_HOME") or str(home / ".local/share"),
        *data.split(os.pathsep),
    ]  # fmt: skip
    found: list[Path] = []
    for base in filter(None, dict.fromkeys(bases)):
        found += sorted(Path(base, "vulkan", "icd.d").glob("*.json"))
    return tuple(found)


def graphics_devices() -> tuple[Path, ...]:
    """Device files of GPUs: without one a manifest is a driver with nothing to drive."""
    return tuple(path for each in _DEVICES for path in sorted(Path("/dev").glob(each)))
