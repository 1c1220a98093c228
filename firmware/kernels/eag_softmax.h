/* SOFTMAX over the innermost dimension, int8 to int8 or int16, bit-exact to TensorFlow Lite
 * Micro's (gemmlowp fixed point). No scratch. Stack: under 96 bytes.
 *
 * exp_table[d] is exp(-d * beta * input_scale) in Q0.31 as gemmlowp's exp_on_negative_values gives
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

#endif
