#include "eag_depthwise_conv_2d_w4.h"

#include "eag_int4.h"

uint32_t eag_depthwise_conv_2d_w4_scratch_bytes(const struct eag_depthwise_conv_2d_params *p) {
  return (uint32_t)p->kernel_h * p->kernel_w * p->in_c * p->multiplicity;
}

void eag_depthwise_conv_2d_w4(const struct eag_depthwise_conv_2d_params *p, const int8_t *in,
                              int8_t *out, void *scratch) {
  struct eag_depthwise_conv_2d_params unpacked = *p;
  eag_int4_unpack(scratch, p->weights, eag_depthwise_conv_2d_w4_scratch_bytes(p));
  unpacked.weights = scratch;
  eag_depthwise_conv_2d(&unpacked, in, out, 0);
}
