#include "eag_activation.h"
#include "eag_dsp.h"

#define LAST 255u /* of the table; from there on the function is at its end */

/* An element in 1 / 12288 of the real input. */
EAG_INLINE int32_t scaled(const struct eag_sigmoid_s16_params *p, int32_t x) {
  int32_t half = (int32_t)((1u << p->right_shift) >> 1);
  return (x * p->multiplier + half) >> p->right_shift;
}

/* The table at `magnitude` / 2^bits, as Q0.16 with `bits` more bits of fraction. */
EAG_INLINE uint32_t between(const uint16_t *table, uint32_t magnitude, uint32_t bits) {
  uint32_t i = magnitude >> bits;
  uint32_t rest = magnitude & ((1u << bits) - 1u);
  return ((uint32_t)table[i] << bits) + rest * (uint32_t)(table[i + 1u] - table[i]);
}

void eag_logistic_s16(const struct eag_sigmoid_s16_params *p, const void *in, void *out,
                      void *scratch) {
  const int16_t *x = in;
  int16_t *y = out;
  (void)scratch;
  for (int32_t n = p->size; n > 0; --n) {
    int32_t value = scaled(p, *x++);
    uint32_t magnitude = (uint32_t)(value < 0 ? -value : value);
    /* Q0.25; sigmoid(-x) is 1 - sigmoid(x). */
    uint32_t result = magnitude >> 9 >= LAST ? 0x7fffu << 10 : between(p->table, magnitude, 9);
    result = value >= 0 ? result + (1u << 9) : (1u << 25) - result + (1u << 9) - 1u;
    *y++ = (int16_t)(result >> 10);
  }
}

void eag_tanh_s16(const struct eag_sigmoid_s16_params *p, const void *in, void *out,
                  void *scratch) {
  const int16_t *x = in;
  int16_t *y = out;
  (void)scratch;
  for (int32_t n = p->size; n > 0; --n) {
    int32_t value = scaled(p, *x++);
    uint32_t magnitude = (uint32_t)(value < 0 ? -value : value);
    /* Q0.24; twice its distance from 1/2 is the result. */
    uint32_t above = magnitude >> 8 >= LAST ? 0xffffu << 8 : between(p->table, magnitude, 8);
    int32_t distance = (int32_t)above - (1 << 23);
    distance = value >= 0 ? distance + (1 << 7) : (1 << 7) - 1 - distance;
    *y++ = (int16_t)(distance >> 8);
  }
}
