#include "eag_fully_connected_dsp.h"

#include "eag_clamp_range.h"
#include "eag_dsp.h"
#include "eag_requant.h"

uint32_t eag_fully_connected_dsp_scratch_bytes(const struct eag_fully_connected_dsp_params *p) {
  (void)p;
  return 0;
}

/* Four interleaved rows times x; returns where the next four begin. */
static EAG_NOINLINE const eag_word *four_rows(const eag_word *w, const eag_word *x,
                                              const eag_word *end, const int32_t *bias,
                                              int32_t *sums) {
  int32_t s0 = bias[0], s1 = bias[1], s2 = bias[2], s3 = bias[3];
#ifdef EAG_DSP_ARM
  /* Ordered for dual issue, as in eag_conv_2d_dsp.c: 16 products in 23 instructions. */
  uint32_t even, odd, first, second, t;
  __asm__(
      "1:\n"
      "ldr %[odd], [%[x]], #4\n"
      "ldrd %[first], %[second], [%[w]], #8\n"
      "sxtb16 %[even], %[odd]\n"
      "cmp %[x], %[end]\n"
      "sxtb16 %[t], %[first]\n"
      "sxtb16 %[odd], %[odd], ror #8\n"
      "smlad %[s0], %[t], %[even], %[s0]\n"
      "sxtb16 %[first], %[first], ror #8\n"
      "sxtb16 %[t], %[second]\n"
      "smlad %[s0], %[first], %[odd], %[s0]\n"
      "sxtb16 %[second], %[second], ror #8\n"
      "smlad %[s1], %[t], %[even], %[s1]\n"
      "smlad %[s1], %[second], %[odd], %[s1]\n"
      "ldrd %[first], %[second], [%[w]], #8\n"
      "sxtb16 %[t], %[first]\n"
      "sxtb16 %[first], %[first], ror #8\n"
      "smlad %[s2], %[t], %[even], %[s2]\n"
      "sxtb16 %[t], %[second]\n"
      "smlad %[s2], %[first], %[odd], %[s2]\n"
      "sxtb16 %[second], %[second], ror #8\n"
      "smlad %[s3], %[t], %[even], %[s3]\n"
      "smlad %[s3], %[second], %[odd], %[s3]\n"
      "bne 1b\n"
      : [w] "+&r"(w), [x] "+&r"(x), [s0] "+&r"(s0), [s1] "+&r"(s1), [s2] "+&r"(s2),
        [s3] "+&r"(s3), [even] "=&r"(even), [odd] "=&r"(odd), [first] "=&r"(first),
        [second] "=&r"(second), [t] "=&r"(t)
      : [end] "r"(end)
      : "cc", "memory");
#else
  do {
    const uint32_t even = eag_sxtb16(*x);
    const uint32_t odd = eag_sxtb16_ror8(*x);
    s0 = eag_smlad(eag_sxtb16_ror8(w[0]), odd, eag_smlad(eag_sxtb16(w[0]), even, s0));
    s1 = eag_smlad(eag_sxtb16_ror8(w[1]), odd, eag_smlad(eag_sxtb16(w[1]), even, s1));
    s2 = eag_smlad(eag_sxtb16_ror8(w[2]), odd, eag_smlad(eag_sxtb16(w[2]), even, s2));
    s3 = eag_smlad(eag_sxtb16_ror8(w[3]), odd, eag_smlad(eag_sxtb16(w[3]), even, s3));
    w += 4;
    x++;
  } while (x != end);
#endif
  sums[0] = s0;
  sums[1] = s1;
  sums[2] = s2;
  sums[3] = s3;
  return w;
}

static EAG_NOINLINE const eag_word *one_row(const eag_word *w, const eag_word *x,
                                            const eag_word *end, const int32_t *bias,
                                            int32_t *sums) {
  int32_t sum = *bias;
  do {
    const uint32_t quad = *w++;
    sum = eag_smlad(eag_sxtb16(quad), eag_sxtb16(*x), sum);
    sum = eag_smlad(eag_sxtb16_ror8(quad), eag_sxtb16_ror8(*x), sum);
    x++;
  } while (x != end);
  *sums = sum;
  return w;
}

void eag_fully_connected_dsp(const struct eag_fully_connected_dsp_params *p, const int8_t *in,
                             int8_t *out, void *scratch) {
  (void)scratch;
  const eag_word *x = (const eag_word *)(const void *)in;
  int8_t *to = out;
  for (uint32_t row = 0; row < p->rows; row++) {
    const eag_word *w = (const eag_word *)(const void *)p->weights;
    const eag_word *end = x + p->depth / 4;
    int32_t doubled = 0, exponent = 0, rounding = 0;
    uint32_t count;
    for (uint32_t o = 0; o < p->out_c; o += count) {
      int32_t sums[4];
      if (p->out_c - o >= 4) {
        w = four_rows(w, x, end, p->bias + o, sums);
        count = 4;
      } else {
        w = one_row(w, x, end, p->bias + o, sums);
        count = 1;
      }
      for (uint32_t i = 0; i < count; i++) {
        if (p->per_channel || o == 0) {
          const uint32_t q = p->per_channel ? o + i : 0;
          doubled = p->doubled[q];
          exponent = p->exponent[q];
          rounding = eag_rounding_with_zero(p->out_zero, exponent);
        }
        *to++ = (int8_t)eag_ssat8(eag_requantize_doubled(sums[i], doubled, rounding, exponent));
      }
    }
    x = end;
  }
  eag_clamp_range(out, p->rows * p->out_c, p->act_min, p->act_max);
}
