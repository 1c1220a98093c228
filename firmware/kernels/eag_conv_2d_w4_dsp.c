#include "eag_conv_2d_w4_dsp.h"

#define EAG_CONV_2D_TAPS 4
#include "eag_conv_2d_tile.h"
#include "eag_dsp.h"

uint32_t eag_conv_2d_w4_dsp_scratch_bytes(const struct eag_conv_2d_dsp_params *p) {
  return 2u * p->tile_pixels * p->row_bytes + (p->in_c % 4 ? p->row_bytes : 0u);
}

/* Four bits in the upper half of a byte are a weight times 16, with its sign. So are the sums, up
 * to 16 * 8 * 128 * 65535 in size, and their last four bits are zero: no rounding is lost.
 *
 * Ordered for dual issue, as in eag_conv_2d_dsp.c: 16 products in 21 instructions. */
EAG_INLINE const eag_word *multiply_2x2(const eag_word *w, const eag_word *end, const eag_word *x,
                                        int32_t *s00, int32_t *s10, int32_t *s01, int32_t *s11) {
  int32_t t00 = 0, t10 = 0, t01 = 0, t11 = 0;
#ifdef EAG_DSP_ARM
  uint32_t w0, w1, even0, even1, x0, x1;
  __asm__(
      "1:\n"
      "ldr %[w1], [%[w]], #4\n"
      "ldrd %[x0], %[x1], [%[x]], #8\n"
      "lsl %[w0], %[w1], #4\n"
      "and %[w1], %[w1], #0xf0f0f0f0\n"
      "and %[w0], %[w0], #0xf0f0f0f0\n"
      "sxtb16 %[even1], %[w1]\n"
      "cmp %[w], %[end]\n"
      "sxtb16 %[even0], %[w0]\n"
      "smlad %[t10], %[even1], %[x0], %[t10]\n"
      "sxtb16 %[w0], %[w0], ror #8\n"
      "smlad %[t00], %[even0], %[x0], %[t00]\n"
      "ldr %[x0], [%[x]], #4\n"
      "smlad %[t01], %[even0], %[x1], %[t01]\n"
      "sxtb16 %[w1], %[w1], ror #8\n"
      "smlad %[t11], %[even1], %[x1], %[t11]\n"
      "ldr %[x1], [%[x]], #4\n"
      "smlad %[t00], %[w0], %[x0], %[t00]\n"
      "smlad %[t10], %[w1], %[x0], %[t10]\n"
      "smlad %[t01], %[w0], %[x1], %[t01]\n"
      "smlad %[t11], %[w1], %[x1], %[t11]\n"
      "bne 1b\n"
      : [w] "+&r"(w), [x] "+&r"(x), [t00] "+&r"(t00), [t10] "+&r"(t10), [t01] "+&r"(t01),
        [t11] "+&r"(t11), [w0] "=&r"(w0), [w1] "=&r"(w1), [even0] "=&r"(even0),
        [even1] "=&r"(even1), [x0] "=&r"(x0), [x1] "=&r"(x1)
      : [end] "r"(end)
      : "cc", "memory");
#else
  do {
    const uint32_t w0 = *w << 4 & 0xf0f0f0f0u, w1 = *w & 0xf0f0f0f0u;
    const uint32_t even0 = eag_sxtb16(w0), odd0 = eag_sxtb16_ror8(w0);
    const uint32_t even1 = eag_sxtb16(w1), odd1 = eag_sxtb16_ror8(w1);
    t00 = eag_smlad(odd0, x[2], eag_smlad(even0, x[0], t00));
    t10 = eag_smlad(odd1, x[2], eag_smlad(even1, x[0], t10));
    t01 = eag_smlad(odd0, x[3], eag_smlad(even0, x[1], t01));
    t11 = eag_smlad(odd1, x[3], eag_smlad(even1, x[1], t11));
    w++;
    x += 4;
  } while (w != end);
#endif
  *s00 += t00 >> 4;
  *s10 += t10 >> 4;
  *s01 += t01 >> 4;
  *s11 += t11 >> 4;
  return x;
}

void eag_conv_2d_w4_dsp(const struct eag_conv_2d_dsp_params *p, const int8_t *in, int8_t *out,
                        void *scratch) {
  eag_conv_2d_tiles(p, in, out, scratch);
}
