/* int16 by int8 multiply-accumulates of the kernels for cores with the DSP extension.
 *
 * Weights stand in rows of `row` taps, a multiple of 4 (padded with zeros), the rows of two channels
 * interleaved, four taps each in turn, and of these in the order 0, 2, 1, 3: SXTB16 then gives the
 * pairs (0, 1) and (2, 3), which int16 elements are in memory. An odd number of channels has its
 * weights made even by a channel that is not written. Sums of products stay below 2^31.
 */
#ifndef EAG_MAC_S16_H
#define EAG_MAC_S16_H

#include "eag_dsp.h"
#include "eag_requant.h"

struct eag_mac_s16 {
  const int8_t *weights;
  const int64_t *bias;       /* [channels] */
  const int32_t *multiplier; /* as bias, or [1] where per_channel is 0; as in eag_conv_2d_s16.h */
  const int8_t *shift;       /* as multiplier */
  uint32_t row;              /* taps */
  uint32_t channels;
  uint32_t per_channel, narrow;
  int32_t min, max;
};

/* Two channels by two pixels. */
EAG_INLINE void eag_mac_s16_2x2(const eag_word *w, const eag_word *end, const int16_t *x0,
                                const int16_t *x1, int32_t *s) {
  const eag_word *a = (const eag_word *)(const void *)x0;
  const eag_word *b = (const eag_word *)(const void *)x1;
  int32_t s00 = 0, s10 = 0, s01 = 0, s11 = 0; /* channel, pixel */
  do {
    const uint32_t w0 = w[0], w1 = w[1];
    const uint32_t a0 = a[0], a1 = a[1], b0 = b[0], b1 = b[1];
    const uint32_t first0 = eag_sxtb16(w0), second0 = eag_sxtb16_ror8(w0);
    const uint32_t first1 = eag_sxtb16(w1), second1 = eag_sxtb16_ror8(w1);
    s00 = eag_smlad(second0, a1, eag_smlad(first0, a0, s00));
    s10 = eag_smlad(second1, a1, eag_smlad(first1, a0, s10));
    s01 = eag_smlad(second0, b1, eag_smlad(first0, b0, s01));
    s11 = eag_smlad(second1, b1, eag_smlad(first1, b0, s11));
    w += 2;
    a += 2;
    b += 2;
  } while (w != end);
  s[0] = s00;
  s[1] = s10;
  s[2] = s01;
  s[3] = s11;
}

/* Two channels by one pixel. */
EAG_INLINE void eag_mac_s16_2x1(const eag_word *w, const eag_word *end, const int16_t *x,
                                int32_t *s) {
  const eag_word *a = (const eag_word *)(const void *)x;
  int32_t s0 = 0, s1 = 0;
  do {
    const uint32_t w0 = w[0], w1 = w[1], a0 = a[0], a1 = a[1];
    s0 = eag_smlad(eag_sxtb16_ror8(w0), a1, eag_smlad(eag_sxtb16(w0), a0, s0));
    s1 = eag_smlad(eag_sxtb16_ror8(w1), a1, eag_smlad(eag_sxtb16(w1), a0, s1));
    w += 2;
    a += 2;
  } while (w != end);
  s[0] = s0;
  s[1] = s1;
}

/* All channels of `pixels` windows of m->row elements at multiples of 4 bytes, `step` elements from
 * one to the next; out is [pixels][channels]. */
static EAG_NOINLINE void eag_mac_s16_all(const struct eag_mac_s16 *m, const int16_t *x,
                                         uint32_t step, uint32_t pixels, int16_t *out) {
  const eag_word *w = (const eag_word *)(const void *)m->weights;
  for (uint32_t o = 0; o < m->channels; o += 2) {
    const eag_word *end = w + m->row / 2u;
    const uint32_t count = m->channels - o < 2 ? 1 : 2;
    const int16_t *window = x;
    int16_t *to = out + o;
    uint32_t left = pixels;
    while (left > 0) {
      const uint32_t together = left < 2 ? 1 : 2;
      int32_t sums[4];
      if (together == 2) {
        eag_mac_s16_2x2(w, end, window, window + step, sums);
      } else {
        eag_mac_s16_2x1(w, end, window, sums);
      }
      for (uint32_t c = 0; c < count; c++) {
        const uint32_t q = m->per_channel ? o + c : 0;
        const int32_t multiplier = m->multiplier[q], shift = m->shift[q];
        for (uint32_t i = 0; i < together; i++) {
          to[i * m->channels + c] = eag_rescale_s16(m->bias[o + c] + sums[2 * i + c], multiplier,
                                                    shift, (int)m->narrow, m->min, m->max);
        }
      }
      window += 2 * step;
      to += 2 * m->channels;
      left -= together;
    }
    w = end;
  }
}

#endif
