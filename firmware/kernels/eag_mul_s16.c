#include "eag_binary.h"
#include "eag_requant.h"

static void mul(const struct eag_mul_s16_params *p, const int16_t *in0, const int16_t *in1,
                int16_t *out) {
  const struct eag_broadcast *b = &p->shape;
  for (int32_t i = 0; i < b->dims[0]; ++i) {
    for (int32_t j = 0; j < b->dims[1]; ++j) {
      for (int32_t k = 0; k < b->dims[2]; ++k) {
        const int16_t *x = in0 + i * b->stride0[0] + j * b->stride0[1] + k * b->stride0[2];
        const int16_t *y = in1 + i * b->stride1[0] + j * b->stride1[1] + k * b->stride1[2];
        const int16_t *end = out + b->dims[3];
        while (out != end) {
          int32_t product = eag_requantize(*x * *y, p->multiplier, p->shift);
          *out++ = (int16_t)eag_clamp(product, p->min, p->max);
          x += b->stride0[3];
          y += b->stride1[3];
        }
      }
    }
  }
}

void eag_mul_s16(const struct eag_mul_s16_params *p, const void *in0, const void *in1, void *out,
                 void *scratch) {
  (void)scratch;
  mul(p, in0, in1, out);
}

void eag_mul_constant_s16(const struct eag_mul_s16_params *p, const void *in0, void *out,
                          void *scratch) {
  (void)scratch;
  mul(p, in0, p->constant, out);
}
