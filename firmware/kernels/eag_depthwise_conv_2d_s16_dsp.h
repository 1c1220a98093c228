/* DEPTHWISE_CONV_2D of int16 activations with int8 weights, for cores with the DSP extension. */
#ifndef EAG_DEPTHWISE_CONV_2D_S16_DSP_H
#define EAG_DEPTHWISE_CONV_2D_S16_DSP_H

#include <stdint.h>

/* As struct eag_depthwise_conv_2d_s16_params, but sums, the bias included, stay below 2^31 for
 * every input, and one factor a channel rescales them. Where `multiplicity` is 1 and in_c a multiple
 * of 4, `in` and `weights` lie at multiples of 4, and of each four channels' weights the order is 0,
 * 2, 1, 3, from which SXTB16 makes neighbours. */
struct eag_depthwise_conv_2d_s16_dsp_params {
  const int8_t *weights; /* [kernel_h][kernel_w][out_c], -128 to 127 */
  const int32_t *bias;   /* [out_c] */
  const int32_t *factor; /* [out_c], of eag_scale_s16 */
  uint16_t in_h, in_w, in_c;
  uint16_t out_h, out_w;
  uint16_t multiplicity; /* the depth multiplier; out_c = in_c * multiplicity */
  uint16_t kernel_h, kernel_w;
  uint16_t stride_h, stride_w;
  uint16_t dilation_h, dilation_w;
  uint16_t pad_h, pad_w; /* rows above, columns left */
  int16_t act_min, act_max;
};

/* Pixels are made in order, so `out` may overlap `in` where it starts far enough before it
 * (export/edge_export/kernels/overlap.py says how far). Scratch: none (NULL). Stack: under 192 B. */
void eag_depthwise_conv_2d_s16_dsp(const struct eag_depthwise_conv_2d_s16_dsp_params *p,
                                   const int16_t *in, int16_t *out, void *scratch);
uint32_t eag_depthwise_conv_2d_s16_dsp_scratch_bytes(
    const struct eag_depthwise_conv_2d_s16_dsp_params *p);

#endif
