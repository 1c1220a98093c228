/* DEPTHWISE_CONV_2D, int8. */
#ifndef EAG_DEPTHWISE_CONV_2D_H
#define EAG_DEPTHWISE_CONV_2D_H

#include <stdint.h>

/* Sizes are in elements. Activations are [height, width, channels], batch 1; output channel
 * `c * multiplicity + m` reads input channel `c`. The input's zero point is folded into `bias`, and
 * taps outside the image read `in_zero`, as in eag_conv_2d.h.
 */
struct eag_depthwise_conv_2d_params {
  const int8_t *weights;     /* [kernel_h][kernel_w][out_c], -128 to 127 */
  const int32_t *bias;       /* [out_c], folded */
  const int32_t *multiplier; /* [out_c], or [1] where per_channel is 0 */
  const int8_t *shift;       /* as multiplier; -31 to 30, positive to the left */
  uint16_t in_h, in_w, in_c;
  uint16_t out_h, out_w;
  uint16_t multiplicity; /* the depth multiplier; out_c = in_c * multiplicity */
  uint16_t kernel_h, kernel_w;
  uint16_t stride_h, stride_w;
  uint16_t dilation_h, dilation_w;
  uint16_t pad_h, pad_w; /* rows above, columns left */
  uint8_t per_channel;
  int8_t in_zero, out_zero;
  int8_t act_min, act_max;
};

/* Portable C99. |accumulator| < 2^31, proven when the model is compiled. Pixels are made in order,
 * so `out` may overlap `in` where it starts far enough before it
 * (export/edge_export/kernels/overlap.py says how far). Scratch: none (NULL). Stack: under 128 B. */
void eag_depthwise_conv_2d(const struct eag_depthwise_conv_2d_params *p, const int8_t *in,
                           int8_t *out, void *scratch);
uint32_t eag_depthwise_conv_2d_scratch_bytes(const struct eag_depthwise_conv_2d_params *p);

#endif
