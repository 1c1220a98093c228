#include "eag_fully_connected_w4_dsp.h"

#include "eag_clamp_range.h"
#include "eag_dsp.h"
#include "eag_requant.h"

uint32_t eag_fully_connected_w4_dsp_scratch_bytes(const struct eag_fully_connected_dsp_params *p) {
  (void)p;
  return 0;
}

/* Four elements of two rows times x. Weights, and so the sums, are 16 times as large: see
 * eag_conv_2d_w4_dsp.c. */
EAG_INLINE void two_rows(uint32_t packed, uint32_t even, uint32_t odd, int32_t *s0, int32_t *s1) {
  const uint32_t w0 = packed << 4 & 0xf0f0f0f0u, w1 = packed & 0xf0f0f0f0u;
  *s0 = eag_smlad(eag_sxtb16_ror8(w0), odd, eag_smlad(eag_sxtb16(w0), even, *s0));
  *s1 = eag_smlad(eag_sxtb16_ror8(w1), odd, eag_smlad(eag_sxtb16(w1), even, *s1));
}

/* Two pairs of rows, each of `end - x` words; `second` may be the first again. */
static EAG_NOINLINE void multiply(const eag_word *w, const eag_word *second, const eag_word *x,
                                  const eag_word *end, int32_t *sums) {
  int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  do {
    const uint32_t even = eag_sxtb16(*x), odd = eag_sxtb16_ror8(*x);
    two_rows(*w++, even, odd, &s0, &s1);
    two_rows(*second++, even, odd, &s2, &s3);
    x++;
  } while (x != end);
  sums[0] = s0 >> 4;
  sums[1] = s1 >> 4;
  sums[2] = s2 >> 4;
  sums[3] = s3 >> 4;
}

void eag_fully_connected_w4_dsp(const struct eag_fully_connected_dsp_params *p, const int8_t *in,
                                int8_t *out, void *scratch) {
  (void)scratch;
  const eag_word *x = (const eag_word *)(const void *)in;
  const uint32_t words = p->depth / 4;
  int8_t *to = out;
  for (uint32_t row = 0; row < p->rows; row++) {
    const eag_word *w = (const eag_word *)(const void *)p->weights;
    int32_t doubled = 0, exponent = 0, rounding = 0;
    for (uint32_t o = 0; o < p->out_c; o += 4, w += 2 * words) {
      const uint32_t left = p->out_c - o;
      const uint32_t count = left < 4 ? left : 4;
      int32_t sums[4];
      multiply(w, left > 2 ? w + words : w, x, x + words, sums);
      for (uint32_t i = 0; i < count; i++) {
        if (p->per_channel || o == 0) {
          const uint32_t q = p->per_channel ? o + i : 0;
          doubled = p->doubled[q];
          exponent = p->exponent[q];
          rounding = eag_rounding_with_zero(p->out_zero, exponent);
        }
        const int32_t sum = p->bias[o + i] + sums[i];
        *to++ = (int8_t)eag_ssat8(eag_requantize_doubled(sum, doubled, rounding, exponent));
      }
    }
    x += words;
  }
  eag_clamp_range(out, p->rows * p->out_c, p->act_min, p->act_max);
}
