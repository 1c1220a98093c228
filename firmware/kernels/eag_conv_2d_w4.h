/* CONV_2D, int8 activations and int4 weights. */
#ifndef EAG_CONV_2D_W4_H
#define EAG_CONV_2D_W4_H

#include <stdint.h>

#include "eag_conv_2d.h"

#define EAG_CONV_2D_W4_TILE 16 /* output pixels that a channel's weights are unpacked for at once */

/* The int8 kernel's parameters, but `weights` are packed (eag_int4.h): of each output channel
 * kernel_h * kernel_w * in_c of them, in whole bytes.
 *
 * Portable C99. Tiles of pixels are made in order, so `out` may overlap `in` where it starts far
 * enough before it (export/edge_export/kernels/overlap.py says how far). Scratch: a channel's
 * weights, unpacked: kernel_h * kernel_w * in_c. Stack: under 192 B. */
void eag_conv_2d_w4(const struct eag_conv_2d_params *p, const int8_t *in, int8_t *out,
                    void *scratch);
uint32_t eag_conv_2d_w4_scratch_bytes(const struct eag_conv_2d_params *p);

#endif
