#include "eag_fully_connected_w4_dsp.h"

#include "eag_clamp_range.h"
#include "eag_dsp.h"
#include "eag_requant.h"

uint32_t eag_fully_connected_w4_dsp_scratch_bytes(const struct eag_fully_connected_dsp_params *p) {
  (void)p;
  return 0;
}

/* Two pairs of rows times x; `second` may be the first again. Weights, and so the sums, are 16 times
 * as large: see eag_conv_2d_w4_dsp.c. */
static EAG_NOINLINE void multiply(const eag_word *w, const eag_word *second, const eag_word *x,
                                  const eag_word *end, int32_t *sums) {
  int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#ifdef EAG_DSP_ARM
  /* Ordered for dual issue, as in eag_conv_2d_dsp.c: 16 products in 29 instructions. */
  uint32_t even, odd, low, high, t;
  __asm__(
      "1:\n"
      "ldr %[odd], [%[x]], #4\n"
      "ldr %[high], [%[w]], #4\n"
      "sxtb16 %[even], %[odd]\n"
      "lsl %[low], %[high], #4\n"
      "sxtb16 %[odd], %[odd], ror #8\n"
      "and %[low], %[low], #0xf0f0f0f0\n"
      "and %[high], %[high], #0xf0f0f0f0\n"
      "sxtb16 %[t], %[low]\n"
      "sxtb16 %[low], %[low], ror #8\n"
      "smlad %[s0], %[t], %[even], %[s0]\n"
      "sxtb16 %[t], %[high]\n"
      "smlad %[s0], %[low], %[odd], %[s0]\n"
      "sxtb16 %[high], %[high], ror #8\n"
      "smlad %[s1], %[t], %[even], %[s1]\n"
      "ldr %[t], [%[second]], #4\n"
      "smlad %[s1], %[high], %[odd], %[s1]\n"
      "cmp %[x], %[end]\n"
      "lsl %[low], %[t], #4\n"
      "and %[high], %[t], #0xf0f0f0f0\n"
      "and %[low], %[low], #0xf0f0f0f0\n"
      "sxtb16 %[t], %[high]\n"
      "sxtb16 %[high], %[high], ror #8\n"
      "smlad %[s3], %[t], %[even], %[s3]\n"
      "sxtb16 %[t], %[low]\n"
      "smlad %[s3], %[high], %[odd], %[s3]\n"
      "sxtb16 %[low], %[low], ror #8\n"
      "smlad %[s2], %[t], %[even], %[s2]\n"
      "smlad %[s2], %[low], %[odd], %[s2]\n"
      "bne 1b\n"
      : [w] "+&r"(w), [second] "+&r"(second), [x] "+&r"(x), [s0] "+&r"(s0), [s1] "+&r"(s1),
        [s2] "+&r"(s2), [s3] "+&r"(s3), [even] "=&r"(even), [odd] "=&r"(odd), [low] "=&r"(low),
        [high] "=&r"(high), [t] "=&r"(t)
      : [end] "r"(end)
      : "cc", "memory");
#else
  do {
    const uint32_t even = eag_sxtb16(*x), odd = eag_sxtb16_ror8(*x);
    const uint32_t w0 = *w << 4 & 0xf0f0f0f0u, w1 = *w & 0xf0f0f0f0u;
    const uint32_t w2 = *second << 4 & 0xf0f0f0f0u, w3 = *second & 0xf0f0f0f0u;
    s0 = eag_smlad(eag_sxtb16_ror8(w0), odd, eag_smlad(eag_sxtb16(w0), even, s0));
    s1 = eag_smlad(eag_sxtb16_ror8(w1), odd, eag_smlad(eag_sxtb16(w1), even, s1));
    s2 = eag_smlad(eag_sxtb16_ror8(w2), odd, eag_smlad(eag_sxtb16(w2), even, s2));
    s3 = eag_smlad(eag_sxtb16_ror8(w3), odd, eag_smlad(eag_sxtb16(w3), even, s3));
    w++;
    second++;
    x++;
  } while (x != end);
#endif
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
