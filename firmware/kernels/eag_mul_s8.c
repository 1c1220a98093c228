#include "eag_binary.h"
#include "eag_requant.h"

static void mul(const struct eag_mul_s8_params *p, const int8_t *in0, const int8_t *in1,
                int8_t *out) {
  const struct eag_broadcast *b = &p->shape;
  /* One left shift more than the reference's, for the doubling of its high multiply. */
  const int32_t left = (p->shift > 0 ? p->shift : 0) + 1;
  const int32_t right = p->shift > 0 ? 0 : -p->shift;
  const int32_t half = (int32_t)((1u << right) >> 1), signs = right > 0 ? -1 : 0;
  for (int32_t i = 0; i < b->dims[0]; ++i) {
    for (int32_t j = 0; j < b->dims[1]; ++j) {
      for (int32_t k = 0; k < b->dims[2]; ++k) {
        const int8_t *x = in0 + i * b->stride0[0] + j * b->stride0[1] + k * b->stride0[2];
        const int8_t *y = in1 + i * b->stride1[0] + j * b->stride1[1] + k * b->stride1[2];
        const int8_t *end = out + b->dims[3];
        while (out != end) {
          int32_t product = (*x + p->offset0) * (*y + p->offset1);
          product = eag_smmulr((int32_t)((uint32_t)product << left), p->multiplier);
          product = (product + half + ((product >> 31) & signs)) >> right;
          *out++ = (int8_t)eag_clamp(product + p->zero_point, p->min, p->max);
          x += b->stride0[3];
          y += b->stride1[3];
        }
      }
    }
  }
}

void eag_mul_s8(const struct eag_mul_s8_params *p, const void *in0, const void *in1, void *out,
                void *scratch) {
  (void)scratch;
  mul(p, in0, in1, out);
}

void eag_mul_constant_s8(const struct eag_mul_s8_params *p, const void *in0, void *out,
                         void *scratch) {
  (void)scratch;
  mul(p, in0, p->constant, out);
}
