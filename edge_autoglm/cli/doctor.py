"""`edge-autoglm doctor`: what this machine can do, and the command that mends what it cannot."""

from __future__ import annotations

import typer

from .common import JsonOption, notes, output, write_json


def doctor(json: JsonOption = None) -> None:
    """Check compilers, extras, ports and permissions. Exits 1 when something needed is missing."""
    from dataclasses import asdict

    from edge_autoglm.report.tables import wrapped
    from edge_boards.doctor import checks

    found = checks()
    out = output(json)
    for check in found:
        mark = "ok" if check.ok else "MISSING" if check.needed else "absent"
        out.print(wrapped(f"{mark:8}{check.name}: {check.detail}", " " * 8), soft_wrap=True)
        if check.mend:
            # Not wrapped: it is there to be copied.
            out.print(f"        -> {check.mend}", soft_wrap=True)
    write_json(json, {"schema": 1, "checks": [asdict(check) for check in found]})
    missing = [check.name for check in found if check.needed and not check.ok]
    if missing:
        notes().print(f"edge-autoglm: needed and missing: {', '.join(missing)}")
        raise typer.Exit(1)
