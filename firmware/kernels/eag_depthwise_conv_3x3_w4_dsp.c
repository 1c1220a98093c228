#include "eag_depthwise_conv_3x3_w4_dsp.h"

#include "eag_int4.h"

uint32_t eag_depthwise_conv_3x3_w4_dsp_scratch_bytes(
    const struct eag_depthwise_conv_3x3_dsp_params *p) {
  return 9u * p->channels + eag_depthwise_conv_3x3_dsp_scratch_bytes(p);
}

void eag_depthwise_conv_3x3_w4_dsp(const struct eag_depthwise_conv_3x3_dsp_params *p,
                                   const int8_t *in, int8_t *out, void *scratch) {
  struct eag_depthwise_conv_3x3_dsp_params unpacked = *p;
  const uint32_t count = 9u * p->channels; /* a multiple of 4 */
  int8_t *weights = scratch;
  eag_int4_unpack(weights, p->weights, count);
  unpacked.weights = weights;
  eag_depthwise_conv_3x3_dsp(&unpacked, in, out, weights + count);
}
