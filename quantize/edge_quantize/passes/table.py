"""The lossless passes, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable

from edge_quantize.graph.model import Graph

from .activations import fuse_activations
from .affine import compose_affine
from .batch_norm import fold_batch_norm
from .channels import remove_dead_channels
from .constants import evaluate_constants, settle_constant_activations
from .dead_code import remove_dead_operators, remove_unread_tensors, share_constants
from .identities import join_chains, remove_identities
from .padding import fold_padding
from .result import Change, Edit, Pass, Settings
from .settled_shapes import settle_shapes
from .transposes import fold_flatten_order


def _repeated(step: Callable[[Graph, Settings], Edit]) -> Callable[[Graph, Settings], Edit]:
    """A pass from a step that makes one change at a time."""

    def run(graph: Graph, settings: Settings) -> Edit:
        changes: list[Change] = []
        while True:
            graph, found = step(graph, settings)
            if not found:
                return graph, tuple(changes)
            changes += found

    return run


PASSES: tuple[Pass, ...] = (
    Pass("shapes", settle_shapes, "shapes that are computed while running"),
    Pass("dead-operators", remove_dead_operators, "operators that no output depends on"),
    Pass("constants", _repeated(evaluate_constants), "operators whose operands are all constants"),
    Pass("constants", _repeated(settle_constant_activations), "activations that never change"),
    Pass("chains", join_chains, "rearrangements of rearrangements"),
    Pass("identities", remove_identities, "operators that hand on what they are given"),
    Pass("padding", fold_padding, "PAD in front of a layer that pads by itself"),
    Pass("activations", fuse_activations, "RELU and its like behind a layer"),
    Pass("affine-chains", _repeated(compose_affine), "normalization in several steps", rounds=True),
    Pass(
        "transposes",
        _repeated(fold_flatten_order),
        "TRANSPOSE in front of a flattened row",
        rounds=True,
    ),
    Pass("batch-norm", _repeated(fold_batch_norm), "MUL, ADD and SUB by constants", rounds=True),
    Pass("dead-channels", remove_dead_channels, "channels no output depends on", rounds=True),
    Pass("unread-tensors", remove_unread_tensors, "tensors that no operator names"),
    Pass("shared-constants", share_constants, "equal constants, held once"),
)
