/* CONV_2D, int8, for cores with the DSP extension. */
#ifndef EAG_CONV_2D_DSP_H
#define EAG_CONV_2D_DSP_H

#include <stdint.h>

/* As struct eag_conv_2d_params, but:
 * - `in` and `weights` lie at multiples of 4;
 * - an output channel's taps, in the order [kernel_h][kernel_w][in_c], are padded with zeros to
 *   row_bytes, a multiple of 4; the rows of two channels stand interleaved, four elements each in
 *   turn; an odd number of channels is made even by a channel that is not written;
 * - factors are 2 * multiplier - 2^32 and the right shift, to 22 (see eag_requant.h);
 *   |accumulator| < 2^30. */
struct eag_conv_2d_dsp_params {
  const int8_t *weights;
  const int32_t *bias;     /* [out_c, made even], folded */
  const int32_t *doubled;  /* as bias, or [1] where per_channel is 0 */
  const uint8_t *exponent; /* as doubled */
  uint16_t in_h, in_w, in_c;
  uint16_t out_h, out_w, out_c;
  uint16_t kernel_h, kernel_w;
  uint16_t stride_h, stride_w;
  uint16_t dilation_h, dilation_w;
  uint16_t pad_h, pad_w; /* rows above, columns left */
  uint16_t row_bytes;
  uint16_t tile_pixels; /* windows widened at a time; even */
  uint8_t per_channel;
  int8_t in_zero, out_zero;
  int8_t act_min, act_max;
};

/* The windows of tile_pixels output pixels are widened to int16 in scratch; then two channels by
 * two pixels at a time are multiplied. Nothing of a tile is written before all of it was widened,
 * so `out` may overlap `in` where it starts far enough before it
 * (export/edge_export/kernels/overlap.py says how far). Scratch: at a multiple of 4,
 * tile_pixels * row_bytes * 2, and row_bytes more where in_c is no multiple of 4. Stack: under
 * 256 B. */
void eag_conv_2d_dsp(const struct eag_conv_2d_dsp_params *p, const int8_t *in, int8_t *out,
                     void *scratch);
uint32_t eag_conv_2d_dsp_scratch_bytes(const struct eag_conv_2d_dsp_params *p);

#endif
