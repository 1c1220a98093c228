/* DEPTHWISE_CONV_2D of int16 activations with int8 weights. */
#ifndef EAG_DEPTHWISE_CONV_2D_S16_H
#define EAG_DEPTHWISE_CONV_2D_S16_H

#include <stdint.h>

/* Sizes are in elements. Activations are [height, width, channels], batch 1; output channel
 * `c * multiplicity + m` reads input channel `c`. Zero points are 0. The
 * products of a channel sum up to less than 2^31 for every input; with the bias, sums are 64 bits
 * wide, and rescaled as eag_conv_2d_s16.h says, with `narrow` always 1. */
struct eag_depthwise_conv_2d_s16_params {
  const int8_t *weights;     /* [kernel_h][kernel_w][out_c], -128 to 127 */
  const int64_t *bias;       /* [out_c] */
  const int32_t *multiplier; /* [out_c], or [1] where per_channel is 0 */
  const int8_t *shift;       /* as multiplier; -31 to 7, positive to the left */
  uint16_t in_h, in_w, in_c;
  uint16_t out_h, out_w;
  uint16_t multiplicity; /* the depth multiplier; out_c = in_c * multiplicity */
  uint16_t kernel_h, kernel_w;
  uint16_t stride_h, stride_w;
  uint16_t dilation_h, dilation_w;
  uint16_t pad_h, pad_w; /* rows above, columns left */
  uint8_t per_channel;
  uint8_t narrow;
  int16_t act_min, act_max;
};

/* Portable C99. Pixels are made in order, so `out` may overlap `in` where it starts far enough
 * before it (export/edge_export/kernels/overlap.py says how far). Scratch: none (NULL). Stack: under
 * 192 B. */
void eag_depthwise_conv_2d_s16(const struct eag_depthwise_conv_2d_s16_params *p, const int16_t *in,
                               int16_t *out, void *scratch);
uint32_t eag_depthwise_conv_2d_s16_scratch_bytes(const struct eag_depthwise_conv_2d_s16_params *p);

#endif
