#include "eag_fully_connected_s16.h"

#include "eag_requant.h"

uint32_t eag_fully_connected_s16_scratch_bytes(const struct eag_fully_connected_s16_params *p) {
  (void)p;
  return 0;
}

void eag_fully_connected_s16(const struct eag_fully_connected_s16_params *p, const int16_t *in,
                             int16_t *out, void *scratch) {
  (void)scratch;
  for (uint32_t row = 0; row < p->rows; row++, in += p->depth) {
    const int8_t *w = p->weights;
    for (uint32_t o = 0; o < p->out_c; o++) {
      const uint32_t q = p->per_channel ? o : 0;
      int64_t sum = p->bias[o];
      for (uint32_t k = 0; k < p->depth; k++) {
        sum += (int32_t)*w++ * in[k];
      }
      *out++ = eag_rescale_s16(sum, p->multiplier[q], p->shift[q], p->narrow, p->act_min,
                               p->act_max);
    }
  }
}
