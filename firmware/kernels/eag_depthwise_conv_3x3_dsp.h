/* DEPTHWISE_CONV_2D with 3 x 3 windows, int8, for cores with the DSP extension. */
#ifndef EAG_DEPTHWISE_CONV_3X3_DSP_H
#define EAG_DEPTHWISE_CONV_3X3_DSP_H

#include <stdint.h>

/* As struct eag_depthwise_conv_2d_params, but:
 * - windows are 3 x 3 and not dilated, the depth multiplier is 1, channels are a multiple of 4,
 *   stride_h is 1 or 2, pad_h at most 2;
 * - `in` and `weights` lie at multiples of 4;
 * - factors are 2 * multiplier - 2^32 and the right shift, to 22 (see eag_requant.h);
 *   |accumulator| < 2^30. */
struct eag_depthwise_conv_3x3_dsp_params {
  const int8_t *weights;   /* [3][3][channels] */
  const int32_t *bias;     /* [channels], folded */
  const int32_t *doubled;  /* [channels], or [1] where per_channel is 0 */
  const uint8_t *exponent; /* as doubled */
  uint16_t in_h, in_w;
  uint16_t out_h, out_w;
  uint16_t channels;
  uint16_t stride_h, stride_w;
  uint16_t pad_h, pad_w; /* rows above, columns left */
  uint8_t per_channel;
  int8_t in_zero, out_zero;
  int8_t act_min, act_max;
};

/* Four channels at a time. Two image rows are widened to int16 and laid side by side in one word an
 * element, so that one SMLAD takes the taps of both; a pair of rows serves two output rows. `out`
 * may be `in` where the strides are 1 and the sizes equal: a row is overwritten only after the last
 * row that needs it was widened. Scratch: at a multiple of 4, 32 bytes a column that windows touch,
 * and 288. Stack: under 384 B. */
void eag_depthwise_conv_3x3_dsp(const struct eag_depthwise_conv_3x3_dsp_params *p,
                                const int8_t *in, int8_t *out, void *scratch);
uint32_t eag_depthwise_conv_3x3_dsp_scratch_bytes(
    const struct eag_depthwise_conv_3x3_dsp_params *p);

#endif
