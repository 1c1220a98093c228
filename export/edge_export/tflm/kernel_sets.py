"""The sets of kernels that TFLM can be built with, by name."""

from __future__ import annotations

from .cmsis_nn import Simd

KERNEL_SETS: dict[str, Simd | None] = {
    "cmsis-nn": Simd.DSP,
    "cmsis-nn-mve": Simd.MVE,
    "cmsis-nn-scalar": Simd.NONE,
    "reference": None,
}
"""Names of the kernel sets: CMSIS-NN for a core with the DSP extension (Cortex-M4, M7, M33), with
Helium (M55, M85), with neither (M0+, M3); and TFLM's portable kernels."""
