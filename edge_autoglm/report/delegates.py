"""Where each operator of a model will run on a phone, as a table and in a few lines."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from rich.table import Table

from edge_autoglm.report.tables import narrowed, plural, size, table

if TYPE_CHECKING:
    from edge_export.mobile.model import Delegation, Placement

# Past this many operators those that the GPU takes are counted by kind.
LISTED = 60


def delegates_table(delegation: Delegation, title: str) -> Table:
    """One row an operator that computes, in 80 columns; past `LISTED` of them one row a kind for
    what the GPU takes, and still one for each operator that it does not."""
    counted = delegation.counted
    left = len(delegation.operators) - len(counted)
    if left and counted:
        title += f" (beside {plural(left, 'operator')} that only unpack{'s' * (left == 1)} weights)"
    if len(counted) <= LISTED:
        return table(
            title,
            [">#", "<operator", "~layer", "<runs on", ">part", "~why not the GPU"],
            [_row(each) for each in counted],
        )
    kinds: dict[str, int] = defaultdict(int)
    for each in counted:
        if each not in delegation.refused:
            kinds[each.op] += 1
    rows: list[tuple[object, ...]] = [
        (count, op, None, "GPU", None, None)
        for op, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    ]
    rows += [(1, *_row(each)[1:]) for each in delegation.refused]
    columns = [">count", "<operator", "~layer", "<runs on", ">part", "~why not the GPU"]
    return table(title, columns, rows)


def _row(each: Placement) -> tuple[object, ...]:
    # The reason's short name; the lines below the table have it in full.
    why = each.code.replace("-", " ") if each.code not in ("", "said") else each.words or None
    return (each.index, each.op, each.name, str(each.place).upper(), each.partition, why)


def delegates_lines(delegation: Delegation) -> list[str]:
    """What stands under the table: counts, reasons in full with what would help, transfers, notes,
    and where all this is from."""
    total, refused = len(delegation.counted), delegation.refused
    share = f"{total - len(refused)} of {plural(total, 'operator')} on the GPU"
    said = "" if delegation.observed else " by the rules"
    lines = [share + said + _parts(delegation)]
    reasons: dict[tuple[str, str], list[Placement]] = defaultdict(list)
    for each in refused:
        reasons[each.reason or each.words, each.mend].append(each)
    for (reason, mend), members in reasons.items():
        which = f"{members[0].op} '{members[0].name}'"
        if len(members) > 1:
            which += f" and {len(members) - 1} more"
        lines.append(narrowed(f"  {which}: {reason}", "    "))
        if mend:
            lines.append(narrowed(f"    -> {mend}", "       "))
    if delegation.moves:
        total_bytes = sum(move.nbytes for move in delegation.moves)
        names = ", ".join(f"'{name}'" for name in delegation.transfers)
        lines.append(narrowed(f"Between GPU and CPU: {size(total_bytes)} ({names})", "  "))
    for wrong in delegation.disagreements:
        lines.append(
            narrowed(
                f"The rules expected {wrong.op} (operator {wrong.index}) on the "
                f"{str(wrong.predicted).upper()}, the backend put it on the "
                f"{str(wrong.observed).upper()}",
                "  ",
            )
        )
    lines += [narrowed(f"Note: {note}", "  ") for note in delegation.notes]
    lines.append(narrowed(f"From {delegation.source}", "  "))
    return lines


def _parts(delegation: Delegation) -> str:
    count = delegation.partitions
    return f", in {count} partitions" if count > 1 else ""
