#include "eag_fully_connected_dsp.h"

#include "eag_clamp_range.h"
#include "eag_dsp.h"
#include "eag_requant.h"

uint32_t eag_fully_connected_dsp_scratch_bytes(const struct eag_fully_connected_dsp_params *p) {
  (void)p;
  return 0;
}

void eag_fully_connected_dsp(const struct eag_fully_connected_dsp_params *p, const int8_t *in,
                             int8_t *out, void *scratch) {
  (void)scratch;
  const eag_word *x = (const eag_word *)(const void *)in;
  int8_t *to = out;
  for (uint32_t row = 0; row < p->rows; row++) {
    const eag_word *w = (const eag_word *)(const void *)p->weights;
    const int32_t *bias = p->bias;
    const int32_t *doubled = p->doubled;
    const uint8_t *exponent = p->exponent;
    const eag_word *end = x + p->depth / 4;
    uint32_t left = p->out_c;
    while (left) {
      int32_t sums[4] = {bias[0], 0, 0, 0};
      uint32_t count = 1;
      if (left >= 4) {
        int32_t s0 = bias[0], s1 = bias[1], s2 = bias[2], s3 = bias[3];
        const eag_word *k = x;
        do {
          uint32_t quad = *k++;
          const uint32_t even = eag_sxtb16(quad);
          const uint32_t odd = eag_sxtb16_ror8(quad);
          quad = w[0];
          s0 = eag_smlad(eag_sxtb16(quad), even, s0);
          s0 = eag_smlad(eag_sxtb16_ror8(quad), odd, s0);
          quad = w[1];
          s1 = eag_smlad(eag_sxtb16(quad), even, s1);
          s1 = eag_smlad(eag_sxtb16_ror8(quad), odd, s1);
          quad = w[2];
          s2 = eag_smlad(eag_sxtb16(quad), even, s2);
          s2 = eag_smlad(eag_sxtb16_ror8(quad), odd, s2);
          quad = w[3];
          s3 = eag_smlad(eag_sxtb16(quad), even, s3);
          s3 = eag_smlad(eag_sxtb16_ror8(quad), odd, s3);
          w += 4;
        } while (k != end);
        sums[0] = s0;
        sums[1] = s1;
        sums[2] = s2;
        sums[3] = s3;
        count = 4;
      } else {
        int32_t sum = bias[0];
        const eag_word *k = x;
        do {
          const uint32_t quad = *w++;
          sum = eag_smlad(eag_sxtb16(quad), eag_sxtb16(*k), sum);
          sum = eag_smlad(eag_sxtb16_ror8(quad), eag_sxtb16_ror8(*k), sum);
          k++;
        } while (k != end);
        sums[0] = sum;
      }
      for (uint32_t i = 0; i < count; i++) {
        const int32_t e = *exponent;
        const int32_t rounding = eag_rounding_with_zero(p->out_zero, e);
        *to++ = (int8_t)eag_ssat8(eag_requantize_doubled(sums[i], *doubled, rounding, e));
        doubled += p->per_channel;
        exponent += p->per_channel;
      }
      bias += count;
      left -= count;
    }
    x = end;
  }
  eag_clamp_range(out, p->rows * p->out_c, p->act_min, p->act_max);
}
