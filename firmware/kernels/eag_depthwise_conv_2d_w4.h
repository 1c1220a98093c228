/* DEPTHWISE_CONV_2D, int8 activations and int4 weights. */
#ifndef EAG_DEPTHWISE_CONV_2D_W4_H
#define EAG_DEPTHWISE_CONV_2D_W4_H

#include <stdint.h>

#include "eag_depthwise_conv_2d.h"

/* The int8 kernel's parameters, but `weights` are packed (eag_int4.h), all in one row.
 *
 * Portable C99. A depthwise layer has few weights and many pixels: they are unpacked once, and the
 * int8 kernel does the rest, so `out` may overlap `in` as it may there. Scratch: the weights,
 * unpacked: kernel_h * kernel_w * out_c. Stack: under 256 B. */
void eag_depthwise_conv_2d_w4(const struct eag_depthwise_conv_2d_params *p, const int8_t *in,
                              int8_t *out, void *scratch);
uint32_t eag_depthwise_conv_2d_w4_scratch_bytes(const struct eag_depthwise_conv_2d_params *p);

#endif
