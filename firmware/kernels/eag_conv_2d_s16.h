/* CONV_2D of int16 activations with int8 weights. */
#ifndef EAG_CONV_2D_S16_H
#define EAG_CONV_2D_S16_H

#include <stdint.h>

/* Sizes are in elements. Activations are [height, width, channels], batch 1; their zero point is 0,
 * so taps outside the image add nothing. Sums are 64 bits wide.
 *
 * Where the model has a 64-bit bias, or none, `narrow` is 1: the sums are rescaled by
 * eag_requantize_s64, with 15-bit multipliers and shifts of -31 to 7. Where its bias is of 32 bits,
 * sums stay below 2^31 and eag_requantize rescales them, with Q0.31 multipliers and shifts of -31 to
 * 30. Both are what TensorFlow Lite Micro does.
 */
struct eag_conv_2d_s16_params {
  const int8_t *weights;     /* [out_c][kernel_h][kernel_w][in_c], -128 to 127 */
  const int64_t *bias;       /* [out_c] */
  const int32_t *multiplier; /* [out_c], or [1] where per_channel is 0 */
  const int8_t *shift;       /* as multiplier; positive to the left */
  uint16_t in_h, in_w, in_c;
  uint16_t out_h, out_w, out_c;
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
void eag_conv_2d_s16(const struct eag_conv_2d_s16_params *p, const int16_t *in, int16_t *out,
                     void *scratch);
uint32_t eag_conv_2d_s16_scratch_bytes(const struct eag_conv_2d_s16_params *p);

#endif
