"""Programs a board with whatever PlatformIO (platformio.org) uses for it: `pio run -t upload`.

An image that a PlatformIO project built (boards of port `arduino`) is uploaded from there. One that
was built here is laid into a small project of its own, as if PlatformIO had linked it: the board
file's [platformio] says which platform and board. Nothing is built either way.

What a cut leaves is up to the tool that PlatformIO calls; most write in order of address.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_autoglm.errors import FlashError
from edge_autoglm.flash import dfu_util, esptool, openocd
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.meanings import COMMON, Meaning, half_image
from edge_autoglm.flash.runner import Script, Stage, run
from edge_autoglm.flash.tool import brief

_IMAGE, _PLACE = "image", "place.py"
# PlatformIO empties its build folder when it sees a project for the first time; this comes later.
_PLACE_SCRIPT = """\
import os
import shutil

Import("env")
folder = env.subst("$BUILD_DIR")
os.makedirs(folder, exist_ok=True)
for name in os.listdir("image"):
    shutil.copy(os.path.join("image", name), folder)
"""

_SCRIPT = Script(
    stages=(
        Stage(r"^Uploading ", 0, 0.1),
        Stage(r"([\d.]+) ?%", 0.1, 0.95, after=r"Uploading "),
        Stage(r"\[SUCCESS\]", 0, 1),
    ),
    meanings=(
        Meaning(
            r"Unknown (?:board|platform)|UnknownPackage|Could not find the package|"
            r"InternetIsOffline|Could not install package|HTTPClientError|InternetConnectionError",
            "PlatformIO lacks the board's platform; get it once, with a network: "
            "`pio pkg install --global --platform {platform}`",
        ),
        Meaning(
            r"specify `upload_port`|Couldn't find a board|Can not find working|"
            r"Could not find an? upload port",
            "PlatformIO finds no port of the board; name it with --port PATH",
        ),
        Meaning(
            r"Source .*firmware\.(?:bin|elf|hex).* not found",
            "PlatformIO did not find the built image; build it again",
        ),
        *openocd.MEANINGS,
        *esptool.MEANINGS,
        *dfu_util.MEANINGS,
        *COMMON,
    ),
    touches=r"^Uploading ",
    proof=r"\[SUCCESS\]",
    cut=half_image,
    environment={
        "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
        "PLATFORMIO_SETTING_CHECK_PLATFORMIO_INTERVAL": "9999",
        "PLATFORMIO_NO_ANSI": "true",
    },
)


def program(job: Job) -> None:
    """Uploads by PlatformIO's own way for the board.

    Raises:
        FlashError: PlatformIO lacks the platform, finds no board, or its tool fails.
        KeyboardInterrupt: with the state of the board for text.
    """
    if job.board.platformio is None:
        raise FlashError(f"{job.board.title}: its board file has no [platformio]")
    with _project(job) as folder:
        if job.project is None:
            _check_platform(job, folder)
        run(job, arguments(job, str(folder)), _SCRIPT)


def _check_platform(job: Job, folder: Path) -> None:
    """Refuses a platform that is not installed: PlatformIO would ask for it over the network, and
    take a minute to say that there is none."""
    command = job.needed_tool.command
    given = ("--only-platforms", "--project-dir", str(folder), "--environment", job.board.name)
    if re.search(r"^Platform ", brief((*command, "pkg", "list", *given)), re.MULTILINE):
        return
    name = job.board.platformio.platform if job.board.platformio else ""
    raise FlashError(
        f"{job.board.title}: PlatformIO lacks the board's platform; get it once, with a network: "
        f"{' '.join(command)} pkg install --global --platform {name}"
    )


def arguments(job: Job, project: str) -> list[str]:
    """What follows `pio`. `nobuild` keeps it from compiling what is there already."""
    port = ["--upload-port", job.port] if job.port is not None else []
    return [
        *("run", "--project-dir", project, "--environment", job.board.name),
        *("--target", "nobuild", "--target", "upload", *port),
    ]


def project_file(job: Job) -> str:
    """The platformio.ini of a project that holds one image.

    Raises FlashError where the board file names no platform, or one that links by itself.
    """
    known = job.board.platformio
    if known is None or known.framework is not None:
        raise FlashError(
            f"{job.board.title}: PlatformIO uploads what PlatformIO built, and this image was not; "
            "build it with `edge-autoglm build --with platformio`"
        )
    lines = [f"platform = {known.platform}", f"board = {known.board}", *known.options]
    lines.append(f"extra_scripts = pre:{_PLACE}")
    return "\n".join([f"[env:{job.board.name}]", *lines, ""])


@contextmanager
def _project(job: Job) -> Iterator[Path]:
    if job.project is not None:
        yield job.project
        return
    with tempfile.TemporaryDirectory(prefix="edge-autoglm-") as name:
        folder = Path(name)
        (folder / "src").mkdir()
        (folder / "platformio.ini").write_text(project_file(job), encoding="utf-8")
        (folder / _PLACE).write_text(_PLACE_SCRIPT, encoding="utf-8")
        (folder / _IMAGE).mkdir()
        (folder / _IMAGE / "firmware.bin").write_bytes(job.image)
        if job.elf is not None:
            # Through a debug probe PlatformIO gives OpenOCD the ELF, for its addresses.
            shutil.copyfile(job.elf, folder / _IMAGE / "firmware.elf")
        yield folder
