/* DEPTHWISE_CONV_2D with 3 x 3 windows, int8 activations and int4 weights, for cores with the DSP
 * extension. */
#ifndef EAG_DEPTHWISE_CONV_3X3_W4_DSP_H
#define EAG_DEPTHWISE_CONV_3X3_W4_DSP_H

#include <stdint.h>

#include "eag_depthwise_conv_3x3_dsp.h"

/* The int8 kernel's parameters, but `weights` are packed (eag_int4.h), all in one row. They are
 * unpacked once, and the int8 kernel does the rest: `out` may be `in` where it may there. Scratch:
 * at a multiple of 4, the weights, unpacked (9 * channels), and behind them the int8 kernel's.
 * Stack: under 448 B. */
void eag_depthwise_conv_3x3_w4_dsp(const struct eag_depthwise_conv_3x3_dsp_params *p,
                                   const int8_t *in, int8_t *out, void *scratch);
uint32_t eag_depthwise_conv_3x3_w4_dsp_scratch_bytes(
    const struct eag_depthwise_conv_3x3_dsp_params *p);

#endif
