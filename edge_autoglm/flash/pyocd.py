"""Programs a board through a debug probe with pyOCD (pyocd.io).

The board file names the `target`. pyOCD knows few of them by itself; the others come as CMSIS
packs, which `pyocd pack install TARGET` fetches once.

A cut leaves half an image: pyOCD writes in order of address, the vector table first.
"""

from __future__ import annotations

from edge_autoglm.errors import FlashError
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.meanings import COMMON, Meaning, half_image
from edge_autoglm.flash.runner import Script, Stage, run


def _script(target: str) -> Script:
    return Script(
        stages=(
            Stage(r"Erasing\.\.\.", 0, 0.05),
            Stage(r"Programming\.\.\.", 0, 0.3),
            # Off a terminal its bar is 40 strokes, without a figure.
            Stage(r"^\[(=+)", 0.3, 0.95, full=40, after=r"Programming\.\.\."),
            Stage(r"programmed \d+ bytes", 0, 1),
        ),
        meanings=(
            Meaning(
                r"Target type .* not recognized",
                f"pyOCD has no target {target} yet; get its pack once, with a network: "
                f"`pyocd pack install {target}`",
            ),
            Meaning(
                r"No connected debug probe|No target device available|No available debug probes",
                "no probe was found, or {probe} is another one; plug the board's debug USB in",
            ),
            Meaning(
                r"No ACK|SWD/JTAG communication failure|Memory transfer fault|"
                r"No cores were discovered|STLink error .*(?:No device connected|connect)",
                "the probe is there and the chip does not answer, or is another one; look at its "
                "wires and power, and at --board",
            ),
            Meaning(
                r"flash (?:program|erase).*fail|[Ff]lash.*(?:protected|locked)|is locked",
                "the flash refuses; lift its protection first (`pyocd erase --mass` erases it all)",
            ),
            *COMMON,
        ),
        touches=r"Erasing\.\.\.|^\[=",
        proof=r"programmed \d+ bytes",
        cut=half_image,
    )


def program(job: Job) -> None:
    """Writes and resets; pyOCD verifies nothing, what was flashed is read back over the wire.

    Raises:
        FlashError: no probe, an unknown target, or any failure of the tool, with its words.
        KeyboardInterrupt: with the state of the board for text.
    """
    target = job.programmer.target
    if target is None:
        raise FlashError(f"{job.board.title}: its board file gives pyocd no target")
    with job.image_file() as path:
        run(job, arguments(job, str(path)), _script(target))


def arguments(job: Job, image: str) -> list[str]:
    """What follows `pyocd`. It must not wait for a probe, nor read a configuration by chance."""
    probe = ["--uid", job.probe] if job.probe is not None else []
    return [
        *("load", "--no-wait", "--no-config", "--color", "never"),
        *("--target", job.programmer.target or "", *probe),
        *("--format", "bin", "--base-address", f"0x{job.address:08x}", image),
    ]
