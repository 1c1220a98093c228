/* The rescaling that ADD and SUB of int8 and int16 have in common. */
#ifndef EAG_ADD_RESCALE_H
#define EAG_ADD_RESCALE_H

#include "eag_requant.h"

/* Rounded right shift in a loop: what depends on the exponent alone is worked out ahead. */
struct eag_shift {
  int32_t exponent, half, signs; /* signs: -1 where halves of negative values move away from 0 */
};

EAG_INLINE struct eag_shift eag_shift_of(int32_t exponent) {
  struct eag_shift s = {exponent, (int32_t)((1u << exponent) >> 1), exponent > 0 ? -1 : 0};
  return s;
}

/* round(x * multiplier / 2^(31 + exponent)) from twice x, rounded as eag_requantize does. */
EAG_INLINE int32_t eag_add_rescale(int32_t twice, int32_t multiplier, struct eag_shift s) {
  int32_t y = eag_smmulr(twice, multiplier);
  return (y + s.half + ((y >> 31) & s.signs)) >> s.exponent;
}

#endif
