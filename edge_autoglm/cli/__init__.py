"""The command line: one file a command, each of which parses, calls and prints.

Command modules import only Typer and `common` at the top; what a command works with is imported
inside its function. That is the one place in the project where imports stand in functions, and
it keeps `--help` under 200 ms.

Exit codes: 0 done, 1 the work failed or a verdict is bad, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from . import (
    backends,
    bench,
    boards,
    build,
    compare,
    compare_runtimes,
    convert,
    doctor,
    export,
    flash,
    inspect,
    monitor,
    optimize,
    ports,
    profile,
    prune,
    quantize,
    sensitivity,
    setup,
    verify,
    virtual,
)
from .common import version_option

app = typer.Typer(
    name="edge-autoglm",
    help="From a trained model to a measured microcontroller: inspect, export to C, build, "
    "flash and profile, on a real board or on a virtual one that runs the very same image.",
    no_args_is_help=True,
    # Rich mark-up would cost the help page 150 ms.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.callback()(version_option)
app.command("inspect")(inspect.inspect)
app.command("convert")(convert.convert)
app.command("quantize")(quantize.quantize)
app.command("prune")(prune.prune)
app.command("sensitivity")(sensitivity.sensitivity)
app.command("optimize")(optimize.optimize)
app.command("compare")(compare.compare)
app.command("export")(export.export)
app.command("build")(build.build)
app.command("flash")(flash.flash)
app.command("profile")(profile.profile)
app.command("verify")(verify.verify)
app.command("compare-runtimes")(compare_runtimes.compare_runtimes)
app.command("backends")(backends.backends)
app.command("bench")(bench.bench)
app.command("monitor")(monitor.monitor)
app.add_typer(boards.app, name="boards")
app.command("ports")(ports.ports)
app.add_typer(virtual.app, name="virtual")
app.command("doctor")(doctor.doctor)
app.add_typer(setup.app, name="setup")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code; prints errors as one line each."""
    from .failures import run  # keeps the error trees of four packages out of `--help`

    return run(app, list(sys.argv[1:] if arguments is None else arguments))
