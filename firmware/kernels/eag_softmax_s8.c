#include "eag_softmax_core.h"

void eag_softmax_s8(const struct eag_softmax_s8_params *p, const void *in, void *out,
                    void *scratch) {
  const int8_t *row = in;
  int8_t *result = out;
  (void)scratch;
  for (int32_t r = 0; r < p->rows; ++r, row += p->depth) {
    int32_t max, exponent;
    int32_t scale = eag_reciprocal(eag_softmax_sum(p, row, &max), &exponent);
    for (int32_t i = 0; i < p->depth; ++i) {
      int32_t d = max - row[i];
      int32_t y = d < p->exp_count ? eag_rounding_doubling_high_mul(scale, p->exp_table[d]) : 0;
      y = eag_rounding_shift_right(y, exponent + 23) - 128;
      *result++ = (int8_t)eag_clamp(y, -128, 127);
    }
  }
}
