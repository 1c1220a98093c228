/* What the DSP kernels of CONV_2D share: windows widened to int16, and sums that are finished two
 * channels by two pixels at a time.
 *
 * A template: who includes it defines EAG_CONV_2D_TAPS, the taps of each of two channels that a
 * word of weights holds, and multiply_2x2, which is declared below. */
#ifndef EAG_CONV_2D_TILE_H
#define EAG_CONV_2D_TILE_H

#include <stdint.h>

#include "eag_clamp_range.h"
#include "eag_conv_2d_dsp.h"
#include "eag_dsp.h"
#include "eag_requant.h"

/* Widened elements of two pixels lie interleaved: of every four elements first (0, 2) of one pixel
 * and of the other, then (1, 3), in the order that SXTB16 makes of the weights. These write one
 * pixel's share and return where it goes on. */
static uint32_t *widen(uint32_t *to, const int8_t *from, uint32_t count) {
  const eag_word *quad = (const eag_word *)(const void *)from;
  const eag_word *end = quad + count / 4;
  if (count & 4) {
    const uint32_t four = *quad++;
    to[0] = eag_sxtb16(four);
    to[2] = eag_sxtb16_ror8(four);
    to += 4;
  }
  for (; quad != end; to += 8) {
    uint32_t first, second;
    eag_next_two(&quad, &first, &second);
    to[0] = eag_sxtb16(first);
    to[2] = eag_sxtb16_ror8(first);
    to[4] = eag_sxtb16(second);
    to[6] = eag_sxtb16_ror8(second);
  }
  return to;
}

static uint32_t *repeat(uint32_t *to, int32_t value, uint32_t count) {
  const uint32_t pair = (uint32_t)(uint16_t)value * 0x10001u;
  for (uint32_t *end = to + count; to != end; to += 4) {
    to[0] = pair;
    to[2] = pair;
  }
  return to;
}

/* The window whose corner is (y, x), widened. */
static EAG_NOINLINE void gather(const struct eag_conv_2d_dsp_params *p, const int8_t *in,
                                int32_t y, int32_t x, uint32_t *to, int8_t *bytes) {
  const int32_t in_c = p->in_c;
  const int in_quads = in_c % 4 == 0;
  int8_t *byte = bytes;
  for (int32_t ky = p->kernel_h; ky > 0; ky--, y += p->dilation_h) {
    int32_t column = x;
    int32_t kx = p->kernel_w;
    while (kx > 0) {
      const int inside = (uint32_t)y < p->in_h && (uint32_t)column < p->in_w;
      int32_t taps = 1;
      if (inside && p->dilation_w == 1) {
        taps = p->in_w - column < kx ? p->in_w - column : kx;
      }
      const int8_t *from = inside ? in + (y * p->in_w + column) * in_c : in;
      int32_t count = taps * in_c;
      if (in_quads) {
        to = inside ? widen(to, from, (uint32_t)count) : repeat(to, p->in_zero, (uint32_t)count);
      } else if (inside) {
        for (; count >= 4; count -= 4, byte += 4, from += 4) {
          eag_store32(byte, eag_load32(from));
        }
        for (; count > 0; count--) *byte++ = *from++;
      } else {
        for (; count > 0; count--) *byte++ = p->in_zero;
      }
      column += taps * p->dilation_w;
      kx -= taps;
    }
  }
  if (!in_quads) {
    /* The last elements are whatever the row held: their weights are 0. */
    widen(to, bytes, p->row_bytes);
  }
}

/* What two channels need to finish their sums. The assembly below knows the offsets. */
typedef struct {
  int32_t doubled0, rounding0, exponent0, doubled1, rounding1, exponent1;
  uint32_t step0, step1; /* bytes to the next pixel's output */
} pair_constants;

/* Requantizes and stores four sums; both pointers move on by two pixels. */
EAG_INLINE void finish_2x2(const pair_constants *k, int32_t s00, int32_t s10, int32_t s01,
                           int32_t s11, int8_t **to0, int8_t **to1) {
#ifdef EAG_DSP_ARM
  uint32_t a, b;
  __asm__ volatile(
      "ldrd %[a], %[b], [%[k]]\n"
      "smmlar %[s00], %[s00], %[a], %[s00]\n"
      "smmlar %[s01], %[s01], %[a], %[s01]\n"
      "ldr %[a], [%[k], #8]\n"
      "add %[s00], %[s00], %[s00], asr #31\n"
      "add %[s01], %[s01], %[s01], asr #31\n"
      "add %[s00], %[s00], %[b]\n"
      "add %[s01], %[s01], %[b]\n"
      "asr %[s00], %[s00], %[a]\n"
      "asr %[s01], %[s01], %[a]\n"
      "ldrd %[a], %[b], [%[k], #12]\n"
      "ssat %[s00], #8, %[s00]\n"
      "ssat %[s01], #8, %[s01]\n"
      "smmlar %[s10], %[s10], %[a], %[s10]\n"
      "smmlar %[s11], %[s11], %[a], %[s11]\n"
      "ldr %[a], [%[k], #20]\n"
      "strb %[s00], [%[to0]]\n"
      "add %[s10], %[s10], %[s10], asr #31\n"
      "add %[s11], %[s11], %[s11], asr #31\n"
      "add %[s10], %[s10], %[b]\n"
      "add %[s11], %[s11], %[b]\n"
      "asr %[s10], %[s10], %[a]\n"
      "asr %[s11], %[s11], %[a]\n"
      "ldrd %[a], %[b], [%[k], #24]\n"
      "ssat %[s10], #8, %[s10]\n"
      "strb %[s01], [%[to0], %[a]]\n"
      "ssat %[s11], #8, %[s11]\n"
      "strb %[s10], [%[to1]]\n"
      "add %[to0], %[to0], %[a], lsl #1\n"
      "strb %[s11], [%[to1], %[b]]\n"
      "add %[to1], %[to1], %[b], lsl #1\n"
      : [s00] "+&r"(s00), [s10] "+&r"(s10), [s01] "+&r"(s01), [s11] "+&r"(s11),
        [to0] "+&r"(*to0), [to1] "+&r"(*to1), [a] "=&r"(a), [b] "=&r"(b)
      : [k] "r"(k)
      : "cc", "memory");
#else
  const int32_t d0 = k->doubled0, r0 = k->rounding0, e0 = k->exponent0;
  const int32_t d1 = k->doubled1, r1 = k->rounding1, e1 = k->exponent1;
  (*to0)[0] = (int8_t)eag_ssat8(eag_requantize_doubled(s00, d0, r0, e0));
  (*to0)[k->step0] = (int8_t)eag_ssat8(eag_requantize_doubled(s01, d0, r0, e0));
  (*to1)[0] = (int8_t)eag_ssat8(eag_requantize_doubled(s10, d1, r1, e1));
  (*to1)[k->step1] = (int8_t)eag_ssat8(eag_requantize_doubled(s11, d1, r1, e1));
  *to0 += 2 * k->step0;
  *to1 += 2 * k->step1;
#endif
}

/* Adds the products of two channels' weights, from `w` to `end`, and two windows, at `x`, to sums
 * of channel and pixel. Returns where the next two windows begin. */
EAG_INLINE const eag_word *multiply_2x2(const eag_word *w, const eag_word *end, const eag_word *x,
                                        int32_t *s00, int32_t *s10, int32_t *s01, int32_t *s11);

/* All channels of `pixels` widened windows. */
static EAG_NOINLINE void multiply(const struct eag_conv_2d_dsp_params *p, const eag_word *windows,
                                  uint32_t pixels, int8_t *out) {
  const eag_word *w = (const eag_word *)(const void *)p->weights;
  const int32_t *bias = p->bias;
  uint32_t q = 0;
  for (uint32_t o = 0; o < p->out_c; o += 2) {
    const eag_word *x = windows;
    const eag_word *end = w + p->row_bytes / (uint32_t)EAG_CONV_2D_TAPS;
    int8_t unused[2];
    int8_t *to0 = out + o;
    int8_t *to1 = to0 + 1;
    pair_constants k;
    k.doubled0 = p->doubled[q];
    k.exponent0 = p->exponent[q];
    k.rounding0 = eag_rounding_with_zero(p->out_zero, k.exponent0);
    q += p->per_channel;
    k.doubled1 = p->doubled[q];
    k.exponent1 = p->exponent[q];
    k.rounding1 = eag_rounding_with_zero(p->out_zero, k.exponent1);
    q += p->per_channel;
    k.step0 = p->out_c;
    k.step1 = p->out_c;
    if (o + 1 == p->out_c) {
      to1 = unused;
      k.step1 = 0;
    }
    for (uint32_t left = pixels; left > 0; left -= 2) {
      int32_t s00 = bias[0], s01 = s00, s10 = bias[1], s11 = s10; /* channel, pixel */
      x = multiply_2x2(w, end, x, &s00, &s10, &s01, &s11);
      if (left == 1) {
        *to0 = (int8_t)eag_ssat8(
            eag_requantize_doubled(s00, k.doubled0, k.rounding0, k.exponent0));
        *to1 = (int8_t)eag_ssat8(
            eag_requantize_doubled(s10, k.doubled1, k.rounding1, k.exponent1));
        break;
      }
      finish_2x2(&k, s00, s10, s01, s11, &to0, &to1);
    }
    bias += 2;
    w = end;
  }
}

/* The layer, tile by tile. */
EAG_INLINE void eag_conv_2d_tiles(const struct eag_conv_2d_dsp_params *p, const int8_t *in,
                                  int8_t *out, void *scratch) {
  uint32_t *windows = scratch;
  int8_t *bytes = (int8_t *)scratch + 2u * p->tile_pixels * p->row_bytes;
  const uint32_t pair_words = p->row_bytes; /* two windows of row_bytes int16 */
  /* A window of one pixel has no borders. */
  const int pointwise = p->kernel_h == 1 && p->kernel_w == 1 && p->in_c % 4 == 0;
  uint32_t filled = 0;
  int8_t *to = out;
  for (uint32_t y = 0; y < p->out_h; y++) {
    for (uint32_t x = 0; x < p->out_w; x++) {
      uint32_t *window = windows + filled / 2 * pair_words + filled % 2;
      if (pointwise) {
        widen(window, in + (y * p->stride_h * p->in_w + x * p->stride_w) * p->in_c, p->in_c);
      } else {
        gather(p, in, (int32_t)(y * p->stride_h) - p->pad_h,
               (int32_t)(x * p->stride_w) - p->pad_w, window, bytes);
      }
      filled++;
      if (filled == p->tile_pixels || (y + 1 == p->out_h && x + 1 == p->out_w)) {
        multiply(p, (const eag_word *)windows, filled, to);
        to += filled * p->out_c;
        filled = 0;
      }
    }
  }
  eag_clamp_range(out, (uint32_t)p->out_h * p->out_w * p->out_c, p->act_min, p->act_max);
}

#endif
