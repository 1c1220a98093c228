#include "eag_binary.h"
#include "eag_requant.h"

/* Byte n of a quad, sign-extended: one SBFX. */
#define BYTE(quad, n) ((int32_t)((quad) << (24 - 8 * (n))) >> 24)

struct linear {
  int32_t a, b, c, shift;
};

EAG_INLINE int32_t linear(struct linear f, int32_t x, int32_t y) {
  int32_t sum = f.c + x * f.a;
#ifdef EAG_DSP_ARM
  /* Keeps the compiler from adding c last, which would cost an instruction beside two MLA. */
  __asm__("" : "+r"(sum));
#endif
  return (sum + y * f.b) >> f.shift;
}

/* Four elements, saturated to int8. */
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
  const uint32_t least = 0x01010101u * (uint8_t)p->min;
  const uint32_t most = 0x01010101u * (uint8_t)p->max;
  const int8_t *x = in0, *y = in1;
  int8_t *result = out;
  int8_t *const end = result + p->size;
  (void)scratch;
  while (end - result >= 4) {
    uint32_t sum = quad(f, eag_load32(x), eag_load32(y));
    eag_store32(result, eag_min_s8x4(eag_max_s8x4(sum, least), most));
    x += 4, y += 4, result += 4;
  }
  while (result != end) {
    *result++ = (int8_t)eag_clamp(linear(f, *x++, *y++), p->min, p->max);
  }
}
