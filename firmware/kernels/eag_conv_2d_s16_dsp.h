/* CONV_2D of int16 activations with int8 weights, for cores with the DSP extension. */
#ifndef EAG_CONV_2D_S16_DSP_H
#define EAG_CONV_2D_S16_DSP_H

#include <stdint.h>

/* As struct eag_conv_2d_s16_params, but:
 * - `in` and `weights` lie at multiples of 4;
 * - weights are packed as eag_mac_s16.h says, an output channel's taps in the order
 *   [kernel_h][kernel_w][in_c] padded to `row`;
 * - sums, the bias included, stay below 2^31 for every input. */
struct eag_conv_2d_s16_dsp_params {
  const int8_t *weights;
  const int32_t *bias;   /* [out_c] */
  const int32_t *factor; /* of eag_scale_s16: [out_c], or [1] where per_channel is 0 */
  uint16_t in_h, in_w, in_c;
  uint16_t out_h, out_w, out_c;
  uint16_t kernel_h, kernel_w;
  uint16_t stride_h, stride_w;
  uint16_t dilation_h, dilation_w;
  uint16_t pad_h, pad_w; /* rows above, columns left */
  uint16_t row;
  uint16_t tile_pixels; /* windows gathered at a time; 0 where windows are read where they lie */
  uint8_t per_channel;
  int16_t act_min, act_max;
};

/* The windows of tile_pixels output pixels are gathered in scratch, and then multiplied, two
 * channels by two pixels at a time. With tile_pixels of 0 (1x1 windows, stride 1, no padding, in_c a
 * multiple of 4) nothing is gathered. Pixels are made two at a time, so `out` may overlap `in` where
 * it starts far enough before it (export/edge_export/kernels/overlap.py says how far). Scratch: at a
 * multiple of 4, tile_pixels * row * 2 bytes. Stack: under 256 B. */
void eag_conv_2d_s16_dsp(const struct eag_conv_2d_s16_dsp_params *p, const int16_t *in,
                         int16_t *out, void *scratch);
uint32_t eag_conv_2d_s16_dsp_scratch_bytes(const struct eag_conv_2d_s16_dsp_params *p);

#endif
