/* Fixed-point arithmetic of quantized TensorFlow Lite, bit for bit: Q0.31 multipliers with a
 * doubling high multiply that rounds half up, and a right shift that rounds half away from zero.
 * Sources: the TensorFlow Lite quantization specification; gemmlowp's description of fixed-point
 * output pipelines.
 */
#ifndef EAG_REQUANT_H
#define EAG_REQUANT_H

#include <stdint.h>

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

#endif
