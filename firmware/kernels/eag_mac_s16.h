/* int16 by int8 multiply-accumulates of the kernels for cores with the DSP extension.
 *
 * Weights stand in rows of `row` taps, a multiple of 4 (padded with zeros), the rows of two channels
 * interleaved, four taps each in turn, and of these in the order 0, 2, 1, 3: SXTB16 then gives the
 * pairs (0, 1) and (2, 3), which int16 elements are in memory. An odd number of channels has its
 * weights made even by a channel that is not written. Sums, the bias included, stay
 * below 2^31.
 */
#ifndef EAG_MAC_S16_H
#define EAG_MAC_S16_H

#include "eag_dsp.h"
#include "eag_requant.h"

struct eag_mac_s16 {
  const int8_t *weights;
  const int32_t *bias;   /* [channels] */
  const int32_t *factor; /* of eag_scale_s16: [channels], or [1] where per_channel is 0 */
  uint32_t row;          /* taps */
  uint32_t channels;
  uint32_t per_channel;
  int32_t min, max;
};

/* Two channels by two pixels; s: channel 0 and 1 of pixel 0, then of pixel 1. */
EAG_INLINE void eag_mac_s16_2x2(const eag_word *w, const eag_word *end, const int16_t *x0,
                                const int16_t *x1, int32_t *s) {
  const eag_word *a = (const eag_word *)(const void *)x0;
  const eag_word *b = (const eag_word *)(const void *)x1;
  int32_t s00 = s[0], s10 = s[1], s01 = s[2], s11 = s[3];
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
  int32_t s0 = s[0], s1 = s[1];
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
  const uint32_t channels = m->channels;
  const int32_t min = m->min, max = m->max;
  for (uint32_t o = 0; o < channels; o += 2) {
    const eag_word *end = w + m->row / 2u;
    const uint32_t last = o + 1 == channels;
    const uint32_t second = last ? o : o + 1;
    const int32_t bias0 = m->bias[o], bias1 = m->bias[second];
    const int32_t factor0 = m->factor[m->per_channel ? o : 0];
    const int32_t factor1 = m->factor[m->per_channel ? second : 0];
    const int16_t *window = x;
    int16_t *to = out + o;
    for (uint32_t left = pixels; left >= 2; left -= 2, window += 2 * step, to += 2 * channels) {
      int32_t s[4] = {bias0, bias1, bias0, bias1};
      eag_mac_s16_2x2(w, end, window, window + step, s);
      if (!last) {
        to[1] = eag_scale_s16(s[1], factor1, min, max);
        to[channels + 1] = eag_scale_s16(s[3], factor1, min, max);
      }
      to[0] = eag_scale_s16(s[0], factor0, min, max);
      to[channels] = eag_scale_s16(s[2], factor0, min, max);
    }
    if (pixels & 1) {
      int32_t s[2] = {bias0, bias1};
      eag_mac_s16_2x1(w, end, window, s);
      if (!last) to[1] = eag_scale_s16(s[1], factor1, min, max);
      to[0] = eag_scale_s16(s[0], factor0, min, max);
    }
    w = end;
  }
}

#endif
