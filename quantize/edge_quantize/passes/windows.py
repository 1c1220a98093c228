"""Sliding windows over whole arrays, and sums over them, in double precision.

Sums of products of 8-bit numbers are exact in it: at most 16 bits each, and below 2^37 of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_quantize.graph.options import Conv2DOptions, DepthwiseConv2DOptions, Pool2DOptions
from edge_quantize.graph.shapes import Window, window

Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sliding:
    """The windows of one layer over NHWC inputs: `rows` and `columns`, taps, strides, dilations."""

    rows: Window
    columns: Window
    taps: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]

    @classmethod
    def of(
        cls,
        shape: tuple[int, ...],
        taps: tuple[int, int],
        options: Conv2DOptions | DepthwiseConv2DOptions | Pool2DOptions,
    ) -> Sliding:
        dilation = (getattr(options, "dilation_h", 1), getattr(options, "dilation_w", 1))
        stride = (options.stride_h, options.stride_w)
        rows, columns = (
            window(shape[1 + i], taps[i], stride[i], dilation[i], options.padding) for i in (0, 1)
        )
        return cls(rows, columns, taps, stride, dilation)

    @property
    def padded(self) -> bool:
        return any((self.rows.before, self.rows.after, self.columns.before, self.columns.after))

    def per_tap(self, x: npt.NDArray[Any], fill: float) -> Iterator[tuple[int, int, Any]]:
        """(tap row, tap column, what every window sees there: [n, out_h, out_w, channels])."""
        (top, bottom), (left, right) = ((w.before, w.after) for w in (self.rows, self.columns))
        frame = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
        for i in range(self.taps[0]):
            for j in range(self.taps[1]):
                first_row, first_column = i * self.dilation[0], j * self.dilation[1]
                yield (
                    i,
                    j,
                    frame[
                        :,
                        first_row : first_row
                        + (self.rows.outputs - 1) * self.stride[0]
                        + 1 : self.stride[0],
                        first_column : first_column
                        + (self.columns.outputs - 1) * self.stride[1]
                        + 1 : self.stride[1],
                    ],
                )

    def convolved(self, x: Reals, weights: Reals) -> Reals:
        """Zero-padded sums of `x` [n, h, w, in] with `weights` [out, taps_h, taps_w, in]."""
        shape = (len(x), self.rows.outputs, self.columns.outputs, len(weights))
        total = np.zeros(shape)
        for i, j, seen in self.per_tap(x, 0.0):
            total += seen @ weights[:, i, j, :].T
        return total

    def convolved_depthwise(self, x: Reals, weights: Reals) -> Reals:
        """The same for `weights` [taps_h, taps_w, out]; out is a multiple of the channels."""
        multiplier = weights.shape[2] // x.shape[3]
        total = np.zeros((len(x), self.rows.outputs, self.columns.outputs, weights.shape[2]))
        for i, j, seen in self.per_tap(x, 0.0):
            total += np.repeat(seen, multiplier, axis=3) * weights[i, j]
        return total
