/* LOGISTIC and TANH, bit-exact to TensorFlow Lite Micro's. Layout: any, dense; `size` counts
 * elements. No scratch. Stack: under 64 bytes. `out` may be `in`.
 */
#ifndef EAG_ACTIVATION_H
#define EAG_ACTIVATION_H

#include <stdint.h>

/* int8: any function of one byte. The exporter evaluates it for all 256. */
struct eag_lookup_s8_params {
  int32_t size;
  const int8_t *table; /* [256]: table[x + 128] */
};

void eag_lookup_s8(const struct eag_lookup_s8_params *p, const void *in, void *out, void *scratch);

/* int16: interpolation in a table of sigmoid(i / 24) as Q0.16, i = 0..255. An input becomes
 * x = (in * multiplier + 2^(right_shift - 1)) >> right_shift, which counts 1 / 12288 of the real
 * input. multiplier 1..32767, right_shift 0..31. The output's scale is 2^-15. */
struct eag_sigmoid_s16_params {
  int32_t size;
  int32_t multiplier, right_shift;
  const uint16_t *table; /* [256] */
};

void eag_logistic_s16(const struct eag_sigmoid_s16_params *p, const void *in, void *out,
                      void *scratch);
/* By tanh(x) = 2 sigmoid(2x) - 1, from the same table. */
void eag_tanh_s16(const struct eag_sigmoid_s16_params *p, const void *in, void *out, void *scratch);

#endif
