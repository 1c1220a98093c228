/* FULLY_CONNECTED, int8 activations and int4 weights, for cores with the DSP extension. */
#ifndef EAG_FULLY_CONNECTED_W4_DSP_H
#define EAG_FULLY_CONNECTED_W4_DSP_H

#include <stdint.h>

#include "eag_fully_connected_dsp.h"

/* The int8 kernel's parameters, but a byte of `weights` holds an element of two rows: the even
 * one's in the low half, the odd one's in the high half; pairs of rows stand one after another;
 * an odd number of rows ends with a pair whose second one is zeros. depth is a multiple of 4 up to
 * 65532.
 *
 * Four rows at a time. `out` must not overlap `in`. Scratch: none (NULL). Stack: under 128 B. */
void eag_fully_connected_w4_dsp(const struct eag_fully_connected_dsp_params *p, const int8_t *in,
                                int8_t *out, void *scratch);
uint32_t eag_fully_connected_w4_dsp_scratch_bytes(const struct eag_fully_connected_dsp_params *p);

#endif
