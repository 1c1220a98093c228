"""Requantization constants of the DSP kernels: the doubled form of `eag_requant.h`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_export.aot.program import Constant

from .mac import MacLayer, mac_layer
from .quant import INT8_MAX, INT8_MIN, requantize
from .row import LayerView

# Ranges of eag_requantize_doubled.
MIN_EXPONENT = 1
MAX_EXPONENT = 22
SUM_LIMIT = 1 << 30
# With exponent 0, where what is negative is clamped anyway: 3/2, of which `doubled` is 2^31.
MOST_MULTIPLIER = 3 << 29  # with shift 1

# The factor 2^-22 that stands in for the factor of a channel whose output never changes.
STILL_MULTIPLIER = 1 << 30
STILL_EXPONENT = 21
STILL_SHIFT = 22


class DspConstants:
    """`bias` int64, `doubled` int32 and `exponent` uint8, one a channel; the last two have one
    entry where all channels share it.

    A channel whose output is the same for every input (its scale is tiny, or its sum lies far
    outside what the activation lets through) may have a factor beyond the kernels' range. It gets
    another factor, and a bias that gives the same output. Raises ValueError for a channel that no
    such change brings into range.
    """

    def __init__(self, mac: MacLayer) -> None:
        self.bias = mac.sums.bias.copy()
        factors = list(mac.factors)
        for channel in range(mac.channels):
            index = channel if mac.per_channel else 0
            if _in_range(mac, channel, *mac.factors[index]):
                continue
            if len(factors) == 1:
                factors *= mac.channels
            self.bias[channel] = _still_bias(mac, channel, *mac.factors[index])
            factors[channel] = (STILL_MULTIPLIER, -STILL_EXPONENT)
        self.factors = tuple(factors)

    @property
    def per_channel(self) -> bool:
        return len(self.factors) > 1

    @property
    def doubled(self) -> npt.NDArray[np.int32]:
        doubled = [(m << 1 + max(shift, 0)) - (1 << 32) for m, shift in self.factors]
        return np.array(doubled, np.int64).astype(np.int32)

    @property
    def exponent(self) -> npt.NDArray[np.uint8]:
        return np.array([max(-shift, 0) for _, shift in self.factors], np.uint8)


def _in_range(mac: MacLayer, channel: int, multiplier: int, shift: int) -> bool:
    if multiplier == 0 or int(mac.sums.bounds[channel]) >= SUM_LIMIT:
        return False
    if MIN_EXPONENT <= -shift <= MAX_EXPONENT:
        return True
    clamped = max(mac.act_min, INT8_MIN) >= mac.out_zero
    return clamped and (shift == 0 or (shift == 1 and multiplier < MOST_MULTIPLIER))


def _still_bias(mac: MacLayer, channel: int, multiplier: int, shift: int) -> int:
    """The bias with which factor 2^-22 gives the channel's only output value."""
    low, high = int(mac.sums.low[channel]), int(mac.sums.high[channel])

    def output(total: int) -> int:
        real = mac.out_zero + requantize(total, multiplier, shift)
        return min(max(real, mac.act_min, INT8_MIN), mac.act_max, INT8_MAX)

    value = output(low)
    if output(high) != value:
        raise ValueError(
            f"channel {channel} is scaled by {multiplier} * 2^{shift - 31} with sums up to "
            f"{int(mac.sums.bounds[channel])}, out of this kernel's range"
        )
    if high - low >= 1 << STILL_SHIFT - 1:
        raise ValueError(f"channel {channel} never changes, but its sums vary by {high - low}")
    middle = (low + high) // 2 - int(mac.sums.bias[channel])
    return ((value - mac.out_zero) << STILL_SHIFT) - middle


def refuses_factors(layer: LayerView, channel_axis: int) -> str | None:
    """Why the DSP kernels cannot requantize the layer; assumes that `refuses_mac` returned None."""
    try:
        DspConstants(mac_layer(layer, channel_axis))
    except ValueError as error:
        return str(error)
    return None


def dsp_constants(
    mac: MacLayer, factors: DspConstants, weights: npt.NDArray[np.int8], pad: int = 0
) -> tuple[Constant, ...]:
    """Constants of the DSP kernels; `pad` entries are added to the tables for channels that are
    computed and not written."""
    bias = np.concatenate([factors.bias, np.zeros(pad, np.int64)])
    doubled, exponent = factors.doubled, factors.exponent
    if factors.per_channel and pad:
        doubled = np.concatenate([doubled, np.full(pad, doubled[-1])])
        exponent = np.concatenate([exponent, np.full(pad, exponent[-1])])
    return (
        mac.weights_constant(weights),
        mac.bias_constant(bias),
        mac.constant("doubled", doubled),
        mac.constant("exponent", exponent),
    )
