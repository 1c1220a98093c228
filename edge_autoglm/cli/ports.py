"""`edge-autoglm ports`: the serial ports that are here, and the boards that they can be."""

from __future__ import annotations

from .common import BoardsOption, JsonOption, output, write_json


def ports(boards: BoardsOption = None, json: JsonOption = None) -> None:
    """List serial ports and the boards behind them."""
    from edge_autoglm.device.attached import attached_ports
    from edge_autoglm.device.transport import holders_of
    from edge_autoglm.report.ports import port_lines, ports_json, virtual_lines
    from edge_boards import list_boards
    from edge_boards.virtual import client

    found = attached_ports(list_boards((boards,) if boards else ()))
    virtual = client.list_running()
    out = output(json)
    # Lines, not a table: a port is there to be copied, so it is never cut.
    for line in [line for port in found for line in port_lines(port)]:
        out.print(line, soft_wrap=True)
    held = {path: holders_of(str(path)) for info in virtual for path in info.links.values()}
    for line in [line for info in virtual for line in virtual_lines(info, held)]:
        out.print(line, soft_wrap=True)
    if not found and not virtual:
        out.print("No serial port is here; `edge-autoglm virtual start B` starts a virtual board.")
    write_json(json, ports_json(found, virtual, held))
