#include "eag_binary.h"
#include "eag_requant.h"

/* Byte n of a quad, sign-extended: one SBFX. */
#define BYTE(quad, n) ((int32_t)((quad) << (24 - 8 * (n))) >> 24)

struct linear {
  int32_t a, b, c, shift;
};

EAG_INLINE int32_t linear(struct linear f, int32_t x, int32_t y) {
  return (x * f.a + y * f.b + f.c) >> f.shift;
}

/* Four elements without a fused activation, saturated. */
EAG_INLINE uint32_t quad(struct linear f, uint32_t x, uint32_t y) {
  uint32_t r0 = (uint32_t)eag_ssat8(linear(f, BYTE(x, 0), BYTE(y, 0)));
  uint32_t r1 = (uint32_t)eag_ssat8(linear(f, BYTE(x, 1), BYTE(y, 1)));
  uint32_t r2 = (uint32_t)eag_ssat8(linear(f, BYTE(x, 2), BYTE(y, 2)));
  uint32_t r3 = (uint32_t)eag_ssat8(linear(f, BYTE(x, 3), BYTE(y, 3)));
  return eag_pack_s8(r0, r1, r2, r3);
}

void eag_add_linear_s8(const struct eag_add_linear_s8_params *p, const void *in0, const void *in1,
                       void *out, void *scratch) {
  const struct linear f = {p->a, p->b, p->c, p->shift};
  const int8_t *x = in0, *y = in1;
  int8_t *result = out;
  int32_t n = p->size;
  (void)scratch;
  if (p->min == -128 && p->max == 127) {
    for (; n >= 4; n -= 4, x += 4, y += 4, result += 4) {
      eag_store32(result, quad(f, eag_load32(x), eag_load32(y)));
    }
  }
  for (; n > 0; --n) *result++ = (int8_t)eag_clamp(linear(f, *x++, *y++), p->min, p->max);
}
