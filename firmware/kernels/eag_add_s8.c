#include "eag_binary.h"
#include "eag_requant.h"

static void add(const struct eag_add_s8_params *p, const int8_t *in0, const int8_t *in1,
                int8_t *out) {
  const struct eag_broadcast *s = &p->shape;
  for (int32_t i = 0; i < s->dims[0]; ++i) {
    for (int32_t j = 0; j < s->dims[1]; ++j) {
      for (int32_t k = 0; k < s->dims[2]; ++k) {
        const int8_t *x = in0 + i * s->stride0[0] + j * s->stride0[1] + k * s->stride0[2];
        const int8_t *y = in1 + i * s->stride1[0] + j * s->stride1[1] + k * s->stride1[2];
        for (int32_t n = s->dims[3]; n > 0; --n) {
          int32_t a = eag_rounding_doubling_high_mul((*x + p->offset0) * (1 << 20), p->multiplier0);
          int32_t b = eag_rounding_doubling_high_mul((*y + p->offset1) * (1 << 20), p->multiplier1);
          int32_t sum = eag_rounding_shift_right(a, p->right_shift0) +
                        eag_rounding_shift_right(b, p->right_shift1);
          sum = eag_rounding_doubling_high_mul(sum, p->multiplier);
          sum = eag_rounding_shift_right(sum, p->right_shift) + p->zero_point;
          *out++ = (int8_t)eag_clamp(sum, p->min, p->max);
          x += s->stride0[3];
          y += s->stride1[3];
        }
      }
    }
  }
}

void eag_add_s8(const struct eag_add_s8_params *p, const void *in0, const void *in1, void *out,
                void *scratch) {
  (void)scratch;
  add(p, in0, in1, out);
}

void eag_add_constant_s8(const struct eag_add_s8_params *p, const void *in0, void *out,
                         void *scratch) {
  (void)scratch;
  add(p, in0, p->constant, out);
}
