/* CONV_2D, int8 activations and int4 weights, for cores with the DSP extension. */
#ifndef EAG_CONV_2D_W4_DSP_H
#define EAG_CONV_2D_W4_DSP_H

#include <stdint.h>

#include "eag_conv_2d_dsp.h"

/* The int8 kernel's parameters, but a byte of `weights` holds a tap of two channels: the even
 * one's in the low half, the odd one's in the high half. They are never unpacked in memory. In
 * everything else as eag_conv_2d_dsp. */
void eag_conv_2d_w4_dsp(const struct eag_conv_2d_dsp_params *p, const int8_t *in, int8_t *out,
                        void *scratch);
uint32_t eag_conv_2d_w4_dsp_scratch_bytes(const struct eag_conv_2d_dsp_params *p);

#endif
