"""The lossless passes, in the order in which they run."""

from __future__ import annotations

from .channels import remove_dead_channels
from .dead_code import remove_dead_operators, remove_unread_tensors, share_constants
from .result import Pass

PASSES: tuple[Pass, ...] = (
    Pass("dead-operators", remove_dead_operators, "operators that no output depends on"),
    Pass("dead-channels", remove_dead_channels, "channels that no output depends on", rounds=True),
    Pass("unread-tensors", remove_unread_tensors, "tensors that no operator names"),
    Pass("shared-constants", share_constants, "equal constants, held once"),
)
