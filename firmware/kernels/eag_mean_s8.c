#include "eag_pool.h"
#include "eag_requant.h"

void eag_mean_s8(const struct eag_mean_params *p, const void *in, void *out, void *scratch) {
  const int8_t *input = in;
  int8_t *result = out;
  (void)scratch;
  for (int32_t k = 0; k < p->kept[0]; ++k) {
    for (int32_t m = 0; m < p->kept[1]; ++m) {
      const int8_t *row = input + k * p->kept_stride[0] + m * p->kept_stride[1];
      int32_t sum = p->offset;
      for (int32_t i = p->reduced[0]; i > 0; --i, row += p->reduced_stride[0]) {
        const int8_t *at = row;
        for (int32_t j = p->reduced[1]; j > 0; --j, at += p->reduced_stride[1]) sum += *at;
      }
      sum = eag_requantize(sum, p->multiplier, p->shift) + p->zero_point;
      *result++ = (int8_t)eag_clamp(sum, -128, 127);
    }
  }
}
