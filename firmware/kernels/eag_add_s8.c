#include "eag_add_rescale.h"
#include "eag_binary.h"

/* sign0, sign1: 1 for an operand that is added, -1 for one that is taken away. */
EAG_INLINE void add(const struct eag_add_s8_params *p, const int8_t *in0, const int8_t *in1,
                    int8_t *out, int32_t sign0, int32_t sign1) {
  const struct eag_broadcast *b = &p->shape;
  const struct eag_shift s0 = eag_shift_of(p->right_shift0), s1 = eag_shift_of(p->right_shift1);
  const struct eag_shift s = eag_shift_of(p->right_shift);
  for (int32_t i = 0; i < b->dims[0]; ++i) {
    for (int32_t j = 0; j < b->dims[1]; ++j) {
      for (int32_t k = 0; k < b->dims[2]; ++k) {
        const int8_t *x = in0 + i * b->stride0[0] + j * b->stride0[1] + k * b->stride0[2];
        const int8_t *y = in1 + i * b->stride1[0] + j * b->stride1[1] + k * b->stride1[2];
        const int8_t *end = out + b->dims[3];
        while (out != end) {
          int32_t sum = sign0 * eag_add_rescale((*x + p->offset0) * (1 << 21), p->multiplier0, s0) +
                        sign1 * eag_add_rescale((*y + p->offset1) * (1 << 21), p->multiplier1, s1);
          sum = eag_add_rescale(2 * sum, p->multiplier, s) + p->zero_point;
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
