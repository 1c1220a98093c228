/* Requantization, bit for bit as TensorFlow Lite Micro does it (double rounding, its default).
 *
 * A real factor is `multiplier * 2^(shift - 31)`, the multiplier in [2^30, 2^31) or 0. First the
 * product is rounded to the nearest (ties up) after 31 bits, then to the nearest (ties away from
 * zero) after `-shift` more.
 *
 * SaturatingRoundingDoublingHighMul(a, m), with its nudge that depends on the sign and a division
 * that truncates, is floor((a * m + 2^30) / 2^31) for every a and every m other than -2^31.
 */
#ifndef EAG_REQUANT_H
#define EAG_REQUANT_H

#include <stdint.h>

#include "eag_dsp.h"

/* floor((a * m + 2^30) / 2^31); m is not negative. Relies on >> of a negative being arithmetic, as
 * every supported compiler has it. */
EAG_INLINE int32_t eag_srdhm(int32_t a, int32_t m) {
  return (int32_t)(((int64_t)a * m + ((int64_t)1 << 30)) >> 31);
}

/* x / 2^exponent to the nearest, ties away from zero; exponent 0 to 31. */
EAG_INLINE int32_t eag_rounding_divide(int32_t x, int32_t exponent) {
  const int32_t mask = (int32_t)(((uint32_t)1 << exponent) - 1u);
  const int32_t threshold = (mask >> 1) + (x < 0);
  return (x >> exponent) + ((x & mask) > threshold);
}

/* TFLM's MultiplyByQuantizedMultiplier; shift -31 to 30, positive to the left (where, as there, the
 * shifted x must fit in 32 bits). */
EAG_INLINE int32_t eag_requantize(int32_t x, int32_t multiplier, int32_t shift) {
  if (shift > 0) {
    return eag_srdhm((int32_t)((uint32_t)x << shift), multiplier);
  }
  return eag_rounding_divide(eag_srdhm(x, multiplier), -shift);
}

EAG_INLINE int32_t eag_clamp(int32_t x, int32_t low, int32_t high) {
  return x < low ? low : x > high ? high : x;
}

/* The DSP kernels' form of the same. Three steps are saved:
 *
 * - The factor is kept doubled, as `doubled = 2 * multiplier - 2^32`, which is an int32 for every
 *   multiplier in [2^30, 2^31). Then (x * 2^32 + x * doubled + 2^31) >> 32 = eag_srdhm(x, multiplier):
 *   one SMMLAR, for every x.
 * - Ties away from zero are ties up after -1 is added to what is negative.
 * - The output's zero point joins the rounding constant: ((y + half) >> e) + z =
 *   (y + half + (z << e)) >> e.
 *
 * Ranges: exponent 1 to 22 (at 0 nothing is rounded, so nothing may be added), |x| < 2^30; the
 * caller saturates.
 */
EAG_INLINE int32_t eag_rounding_with_zero(int32_t zero_point, int32_t exponent) {
  return (int32_t)((uint32_t)(2 * zero_point + 1) << exponent) >> 1;
}

EAG_INLINE int32_t eag_requantize_doubled(int32_t x, int32_t doubled, int32_t rounding,
                                          int32_t exponent) {
  return (eag_add_sign(eag_smmlar(x, doubled, x)) + rounding) >> exponent;
}

#endif
