/* The fixed-point heart that both softmax kernels share. */
#ifndef EAG_SOFTMAX_CORE_H
#define EAG_SOFTMAX_CORE_H

#include "eag_requant.h"
#include "eag_softmax.h"

/* 1 / sum, for a sum of exponentials in Q12.19, as a Q0.31 mantissa; *exponent receives the bits
 * by which the sum exceeds one. Newton-Raphson on 1 / ((1 + x) / 2) in Q2.29, three rounds. */
static inline int32_t eag_reciprocal(int32_t sum, int32_t *exponent) {
  int32_t headroom = __builtin_clz((uint32_t)sum);
  *exponent = 12 - headroom;
  int32_t x = (int32_t)(((uint32_t)sum << headroom) - 0x80000000u);
  /* (x + 1) / 2, rounded; one is 2^31 - 1 in Q0.31 and x is not negative. */
  int32_t half = (int32_t)(((uint32_t)x + 0x7fffffffu + 1u) >> 1);
  int32_t y = 1515870810 + eag_rounding_doubling_high_mul(half, -1010580540); /* 48/17 - 32/17 h */
  for (int round = 0; round < 3; ++round) {
    int32_t error = (1 << 29) - eag_rounding_doubling_high_mul(half, y);
    y += eag_saturating_shift_left(eag_rounding_doubling_high_mul(y, error), 2);
  }
  return eag_saturating_shift_left(y, 1);
}

/* The row's maximum and the sum of its exponentials in Q12.19. */
static inline int32_t eag_softmax_sum(const struct eag_softmax_s8_params *p, const int8_t *row,
                                      int32_t *largest) {
  int32_t max = -128;
  for (int32_t i = 0; i < p->depth; ++i) max = row[i] > max ? row[i] : max;
  int32_t sum = 0;
  for (int32_t i = 0; i < p->depth; ++i) {
    int32_t d = max - row[i];
    if (d < p->exp_count) sum += eag_rounding_shift_right(p->exp_table[d], 12);
  }
  *largest = max;
  return sum;
}

#endif
