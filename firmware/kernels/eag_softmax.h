/* SOFTMAX over the innermost dimension, int8 to int8 or int16 (gemmlowp fixed point), and
 * int16 to int16, bit-exact to TensorFlow Lite Micro's. No scratch. Stack: under 96 bytes.
 *
 * int8: exp_table[d] is exp(-d * beta * input_scale) in Q0.31 as gemmlowp's exp_on_negative_values gives
 * it. Only 256 differences exist, so the exporter evaluates it ahead and the board carries neither
 * the polynomial nor its constants; entries too small to reach the sum or the output are cut off.
 * depth is at most 4095, so that the sum of exponentials stays within Q12.19.
 */
#ifndef EAG_SOFTMAX_H
#define EAG_SOFTMAX_H

#include <stdint.h>

struct eag_softmax_s8_params {
  int32_t rows, depth; /* input and output are [rows][depth] */
  const int32_t *exp_table;
  int32_t exp_count; /* 1..256 */
};

/* Output scale 1/256, zero point -128. `out` may be `in`. */
void eag_softmax_s8(const struct eag_softmax_s8_params *p, const void *in, void *out,
                    void *scratch);
/* Output int16, scale 1/65536, zero point -32768. */
void eag_softmax_s8_s16(const struct eag_softmax_s8_params *p, const void *in, void *out,
                        void *scratch);

/* int16 to int16, output scale 2^-15 and zero points 0: exponentials and the reciprocal of their sum
 * are interpolated in two tables of 513 entries, as TensorFlow Lite Micro does.
 *
 * Differences from the row's maximum become 1 / 65535 of 10 by `multiplier` (Q0.31) and `shift` (-31
 * to 15). exp_table[i] is exp at 10 * (i / 512 - 1), reciprocal_table[i] is 1 / (1 + i / 512), both
 * Q0.15. depth is at most 65535, so that the sum fits. `out` may be `in`. */
struct eag_softmax_s16_params {
  int32_t rows, depth; /* input and output are [rows][depth] */
  int32_t multiplier, shift;
  const int16_t *exp_table;        /* [513] */
  const int16_t *reciprocal_table; /* [513] */
};

void eag_softmax_s16(const struct eag_softmax_s16_params *p, const void *in, void *out,
                     void *scratch);

#endif
