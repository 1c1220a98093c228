#include "eag_binary.h"
#include "eag_requant.h"

/* Rounded right shift in a loop: what depends on the exponent alone is worked out ahead. */
struct shift {
  int32_t exponent, half, signs; /* signs: -1 where halves of negative values move away from 0 */
};

EAG_INLINE struct shift shift_of(int32_t exponent) {
  struct shift s = {exponent, (int32_t)((1u << exponent) >> 1), exponent > 0 ? -1 : 0};
  return s;
}

/* round(x * multiplier / 2^(31 + exponent)) from twice x, rounded as eag_requantize does. */
EAG_INLINE int32_t rescale(int32_t twice, int32_t multiplier, struct shift s) {
  int32_t y = eag_smmulr(twice, multiplier);
  return (y + s.half + ((y >> 31) & s.signs)) >> s.exponent;
}

/* sign0, sign1: 1 for an operand that is added, -1 for one that is taken away. */
EAG_INLINE void add(const struct eag_add_s8_params *p, const int8_t *in0, const int8_t *in1,
                    int8_t *out, int32_t sign0, int32_t sign1) {
  const struct eag_broadcast *b = &p->shape;
  const struct shift s0 = shift_of(p->right_shift0), s1 = shift_of(p->right_shift1);
  const struct shift s = shift_of(p->right_shift);
  for (int32_t i = 0; i < b->dims[0]; ++i) {
    for (int32_t j = 0; j < b->dims[1]; ++j) {
      for (int32_t k = 0; k < b->dims[2]; ++k) {
        const int8_t *x = in0 + i * b->stride0[0] + j * b->stride0[1] + k * b->stride0[2];
        const int8_t *y = in1 + i * b->stride1[0] + j * b->stride1[1] + k * b->stride1[2];
        const int8_t *end = out + b->dims[3];
        while (out != end) {
          int32_t sum = sign0 * rescale((*x + p->offset0) * (1 << 21), p->multiplier0, s0) +
                        sign1 * rescale((*y + p->offset1) * (1 << 21), p->multiplier1, s1);
          sum = rescale(2 * sum, p->multiplier, s) + p->zero_point;
          *out++ = (int8_t)eag_clamp(sum, p->min, p->max);
          x += b->stride0[3];
          y += b->stride1[3];
        }
      }
    }
  }
}

void eag_add_s8(const struct eag_add_s8_params *p, const void *in0, const void *in1, void *out,
                void *scratch) {
  (void)scratch;
  add(p, in0, in1, out, 1, 1);
}

void eag_add_constant_s8(const struct eag_add_s8_params *p, const void *in0, void *out,
                         void *scratch) {
  (void)scratch;
  add(p, in0, p->constant, out, 1, 1);
}

void eag_sub_s8(const struct eag_add_s8_params *p, const void *in0, const void *in1, void *out,
                void *scratch) {
  (void)scratch;
  add(p, in0, in1, out, 1, -1);
}

void eag_sub_constant_s8(const struct eag_add_s8_params *p, const void *in0, void *out,
                         void *scratch) {
  (void)scratch;
  add(p, in0, p->constant, out, 1, -1);
}

void eag_sub_from_constant_s8(const struct eag_add_s8_params *p, const void *in0, void *out,
                              void *scratch) {
  (void)scratch;
  add(p, in0, p->constant, out, -1, 1);
}
