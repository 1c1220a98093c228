#include "eag_fully_connected_w4.h"

#include "eag_int4.h"
#include "eag_requant.h"

uint32_t eag_fully_connected_w4_scratch_bytes(const struct eag_fully_connected_params *p) {
  (void)p;
  return 0;
}

void eag_fully_connected_w4(const struct eag_fully_connected_params *p, const int8_t *in,
                            int8_t *out, void *scratch) {
  (void)scratch;
  for (uint32_t row = 0; row < p->rows; row++, in += p->depth) {
    const int8_t *w = p->weights;
    for (uint32_t o = 0; o < p->out_c; o++) {
      const uint32_t q = p->per_channel ? o : 0;
      int32_t acc = p->bias[o];
      uint32_t k = 0;
      for (; k + 1 < p->depth; k += 2) {
        const int32_t byte = *w++;
        acc += eag_int4_low(byte) * in[k] + eag_int4_high(byte) * in[k + 1];
      }
      if (k < p->depth) acc += eag_int4_low(*w++) * in[k];
      const int32_t real = p->out_zero + eag_requantize(acc, p->multiplier[q], p->shift[q]);
      *out++ = (int8_t)eag_clamp(real, p->act_min, p->act_max);
    }
  }
}
