#include "eag_conv_2d_dsp.h"

#define EAG_CONV_2D_TAPS 2
#include "eag_conv_2d_tile.h"
#include "eag_dsp.h"

uint32_t eag_conv_2d_dsp_scratch_bytes(const struct eag_conv_2d_dsp_params *p) {
  return 2u * p->tile_pixels * p->row_bytes + (p->in_c % 4 ? p->row_bytes : 0u);
}

/* Weights: of two channels four taps each in turn.
 *
 * On the core the order of the instructions is the point: SXTB16 issues only in the older slot of
 * a cycle, SMLAD pairs with it and with loads but not with another SMLAD, a loaded word reaches
 * SMLAD after two cycles. 16 products take 18 instructions and 11 cycles. */
EAG_INLINE const eag_word *multiply_2x2(const eag_word *w, const eag_word *end, const eag_word *x,
                                        int32_t *s00, int32_t *s10, int32_t *s01, int32_t *s11) {
#ifdef EAG_DSP_ARM
  uint32_t w0, w1, even0, even1, x0, x1;
  __asm__(
      "1:\n"
      "ldrd %[w0], %[w1], [%[w]], #8\n"
      "ldrd %[x0], %[x1], [%[x]], #8\n"
      "sxtb16 %[even0], %[w0]\n"
      "cmp %[w], %[end]\n"
      "sxtb16 %[even1], %[w1]\n"
      "smlad %[s00], %[even0], %[x0], %[s00]\n"
      "sxtb16 %[w0], %[w0], ror #8\n"
      "smlad %[s10], %[even1], %[x0], %[s10]\n"
      "ldr %[x0], [%[x]], #4\n"
      "smlad %[s01], %[even0], %[x1], %[s01]\n"
      "sxtb16 %[w1], %[w1], ror #8\n"
      "smlad %[s11], %[even1], %[x1], %[s11]\n"
      "ldr %[x1], [%[x]], #4\n"
      "smlad %[s00], %[w0], %[x0], %[s00]\n"
      "smlad %[s10], %[w1], %[x0], %[s10]\n"
      "smlad %[s01], %[w0], %[x1], %[s01]\n"
      "smlad %[s11], %[w1], %[x1], %[s11]\n"
      "bne 1b\n"
      : [w] "+&r"(w), [x] "+&r"(x), [s00] "+&r"(*s00), [s10] "+&r"(*s10), [s01] "+&r"(*s01),
        [s11] "+&r"(*s11), [w0] "=&r"(w0), [w1] "=&r"(w1), [even0] "=&r"(even0),
        [even1] "=&r"(even1), [x0] "=&r"(x0), [x1] "=&r"(x1)
      : [end] "r"(end)
      : "cc", "memory");
#else
  do {
    const uint32_t even0 = eag_sxtb16(w[0]), odd0 = eag_sxtb16_ror8(w[0]);
    const uint32_t even1 = eag_sxtb16(w[1]), odd1 = eag_sxtb16_ror8(w[1]);
    *s00 = eag_smlad(odd0, x[2], eag_smlad(even0, x[0], *s00));
    *s10 = eag_smlad(odd1, x[2], eag_smlad(even1, x[0], *s10));
    *s01 = eag_smlad(odd0, x[3], eag_smlad(even0, x[1], *s01));
    *s11 = eag_smlad(odd1, x[3], eag_smlad(even1, x[1], *s11));
    w += 2;
    x += 4;
  } while (w != end);
#endif
  return x;
}

void eag_conv_2d_dsp(const struct eag_conv_2d_dsp_params *p, const int8_t *in, int8_t *out,
                     void *scratch) {
  eag_conv_2d_tiles(p, in, out, scratch);
}
