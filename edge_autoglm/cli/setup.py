"""`edge-autoglm setup`: what checks need, put into the user's cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import JsonOption, notes, output, progress, write_json

if TYPE_CHECKING:
    from edge_quantize.gpu import Probe

app = typer.Typer(
    help="Put into your cache what checks need. Nothing is installed; no root is needed.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _setup() -> None:
    """The group; a command says what is set up."""


@app.command("gpu")
def gpu(
    source: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="FILE|DIR",
            help="Take it from a .deb file, a folder with such files, or the folder of a program "
            "built on Chromium, not from apt-get. May be given several times.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also where a driver is there already.")
    ] = False,
    json: JsonOption = None,
) -> None:
    """Get SwiftShader, the Vulkan driver that checks GPU results on any machine.

    Debian's apt-get fetches chromium-common and libvulkan1 (about 30 MiB); the two libraries in
    them (6 MiB) are kept in the cache, once a tiny model has run on them.
    """
    from edge_autoglm.gpu_setup import install, installed
    from edge_autoglm.report.tables import wrapped
    from edge_quantize.errors import GpuError
    from edge_quantize.gpu import find_driver, probe

    def say(text: str) -> None:
        notes().print(wrapped(text, "  "), soft_wrap=True)

    found, verb = None, "is ready"
    if not source and not force:
        try:
            found, verb = installed(), "is there already"
        except GpuError as error:
            say(f"What is in the cache does not work ({error}); it is replaced.")
        if found is None:
            try:
                driver = find_driver()
                run = probe(driver)
            except GpuError:
                pass  # which is why this is called
            else:
                line = (
                    f"Nothing to set up: {driver.name} ({driver.origin}) runs a tiny model. "
                    "--force puts SwiftShader into the cache all the same."
                )
                output(json).print(wrapped(line, "  "), soft_wrap=True)
                folder = None if driver.icd is None else str(driver.icd.parent)
                write_json(json, _json(folder, driver.origin, run))
                return
    if found is None:
        found, verb = install(source or (), say, progress), "is ready"
    run = found.run
    line = (
        f"SwiftShader {verb}: {found.folder} (from {found.origin}). A tiny model ran on it with "
        f"{run.runtime}: {run.adapter}, {run.seconds:.2f} s."
    )
    output(json).print(wrapped(line, "  "), soft_wrap=True)
    write_json(json, _json(str(found.folder), found.origin, run))
    try:
        find_driver()
    except GpuError as error:
        say(f"It is not used yet: {error}.")


def _json(folder: str | None, origin: str, run: Probe) -> dict[str, object]:
    """`folder` is None for a driver that the system's own loader finds."""
    return {
        "schema": 1,
        "folder": folder,
        "origin": origin,
        "adapter": run.adapter,
        "runtime": run.runtime,
        "seconds": run.seconds,
    }
