/* Fixed-point arithmetic of quantized TensorFlow Lite, bit for bit: Q0.31 multipliers with a
 * doubling high multiply that rounds half up, and a right shift that rounds half away from zero.
 * Sources: the TensorFlow Lite quantization specification; gemmlowp's description of fixed-point
 * output pipelines.
 */
#ifndef EAG_REQUANT_H
#define EAG_REQUANT_H

#include <stdint.h>

#include "eag_dsp.h"

static inline int32_t eag_clamp(int32_t x, int32_t min, int32_t max) {
  x = x < min ? min : x;
  return x > max ? max : x;
}

/* round(a * b / 2^31). Not for a = b = -2^31: no multiplier here is negative and none reaches
 * 2^31. */
static inline int32_t eag_rounding_doubling_high_mul(int32_t a, int32_t b) {
  return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

/* round(x / 2^shift), halves away from zero; shift 0..31. */
static inline int32_t eag_rounding_shift_right(int32_t x, int32_t shift) {
  int32_t mask = (int32_t)((1u << shift) - 1u);
  int32_t threshold = (int32_t)((uint32_t)mask >> 1) + (x < 0);
  return (x >> shift) + ((x & mask) > threshold);
}

/* x * 2^shift, saturated; shift 1..30. */
static inline int32_t eag_saturating_shift_left(int32_t x, int32_t shift) {
  int32_t limit = INT32_MAX >> shift;
  if (x > limit) return INT32_MAX;
  if (x < -limit - 1) return INT32_MIN;
  return (int32_t)((uint32_t)x << shift);
}

/* x * multiplier * 2^(shift - 31), rounded as the reference does; shift -31 (right) to 30 (left),
 * |x| << shift below 2^31 for left shifts. */
static inline int32_t eag_requantize(int32_t x, int32_t multiplier, int32_t shift) {
  int32_t left = shift > 0 ? shift : 0;
  int32_t right = shift > 0 ? 0 : -shift;
  int32_t shifted = (int32_t)((uint32_t)x << left);
  return eag_rounding_shift_right(eag_rounding_doubling_high_mul(shifted, multiplier), right);
}

/* round(x * multiplier * 2^(shift - 15)), halves up: how TensorFlow Lite rescales the 64-bit sums of
 * int16 layers, with the upper 16 bits of the multiplier. multiplier 0 to 2^15 - 1, shift -31
 * (right) to 7 (left), |x| < 2^47, and the result must fit an int32. */
static inline int32_t eag_requantize_s64(int64_t x, int32_t multiplier, int32_t shift) {
  int32_t right = 15 - shift;
  return (int32_t)((x * multiplier + ((int64_t)1 << (right - 1))) >> right);
}

/* The same for shifts of -17 to -1 and |x| below 2^31, with factor = multiplier * 2^(17 + shift): one
 * SMMULR. */
static inline int16_t eag_scale_s16(int32_t x, int32_t factor, int32_t min, int32_t max) {
  return (int16_t)eag_clamp(eag_smmulr(x, factor), min, max);
}

/* A finished sum of an int16 layer with int8 weights as its output; see eag_conv_2d_s16.h. */
static inline int16_t eag_rescale_s16(int64_t sum, int32_t multiplier, int32_t shift, int narrow,
                                      int32_t min, int32_t max) {
  int32_t real = narrow ? eag_requantize_s64(sum, multiplier, shift)
                        : eag_requantize((int32_t)sum, multiplier, shift);
  return (int16_t)eag_clamp(real, min, max);
}

/* The DSP kernels' form of eag_requantize. Three steps are saved:
 *
 * - The factor is kept doubled, as `doubled = 2 * multiplier - 2^32`, which is an int32 for every
 *   multiplier in [2^30, 2^31). (x * 2^32 + x * doubled + 2^31) >> 32 is then
 *   eag_rounding_doubling_high_mul(x, multiplier): one SMMLAR, for every x.
 * - Halves away from zero are halves up once 1 is taken from what is negative.
 * - The output's zero point z joins the rounding constant: ((y + half) >> e) + z is
 *   (y + half + (z << e)) >> e.
 *
 * Ranges: exponent 1 to 22, |x| < 2^30; the caller saturates. At exponent 0 nothing is rounded the
 * second time, and 1 is taken from what is negative all the same: good where the caller clamps that
 * to the zero point, as RELU does. `doubled` may then be any int32, for multipliers up to 3/2.
 */
static inline int32_t eag_rounding_with_zero(int32_t zero_point, int32_t exponent) {
  return (int32_t)((uint32_t)(2 * zero_point + 1) << exponent) >> 1;
}

static inline int32_t eag_requantize_doubled(int32_t x, int32_t doubled, int32_t rounding,
                                             int32_t exponent) {
  return (eag_add_sign(eag_smmlar(x, doubled, x)) + rounding) >> exponent;
}

#endif
