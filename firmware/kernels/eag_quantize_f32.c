#include "eag_quantize.h"
#include "eag_requant.h"

/* round(value) + zero_point within min..max, halves away from zero. Values past 2^20 are outside
 * every range asked for and are cut off first, so that the conversion to int32 is defined and
 * `value - whole` is exact. */
static int32_t quantize(float value, int32_t zero_point, int32_t min, int32_t max) {
  if (!(value > -1048576.0f)) return min;
  if (value > 1048576.0f) return max;
  int32_t whole = (int32_t)value;
  float rest = value - (float)whole;
  if (rest >= 0.5f) ++whole;
  if (rest <= -0.5f) --whole;
  return eag_clamp(whole + zero_point, min, max);
}

void eag_quantize_f32_s8(const struct eag_quantize_f32_params *p, const void *in, void *out,
                         void *scratch) {
  const float *x = in;
  int8_t *y = out;
  (void)scratch;
  for (int32_t n = p->size; n > 0; --n) {
    *y++ = (int8_t)quantize(*x++ / p->scale, p->zero_point, -128, 127);
  }
}

void eag_quantize_f32_s16(const struct eag_quantize_f32_params *p, const void *in, void *out,
                          void *scratch) {
  const float *x = in;
  int16_t *y = out;
  (void)scratch;
  for (int32_t n = p->size; n > 0; --n) {
    *y++ = (int16_t)quantize(*x++ / p->scale, p->zero_point, -32768, 32767);
  }
}

/* The product is exact before its one rounding, so single precision gives what the reference's
 * double precision rounded to float gives. */
#define EAG_DEQUANTIZE(name, from)                                                                 \
  void name(const struct eag_dequantize_f32_params *p, const void *in, void *out, void *scratch) { \
    const from *x = in;                                                                            \
    float *y = out;                                                                                \
    (void)scratch;                                                                                 \
    for (int32_t n = p->size; n > 0; --n) *y++ = p->scale * (float)(*x++ - p->zero_point);         \
  }

EAG_DEQUANTIZE(eag_dequantize_s8_f32, int8_t)
EAG_DEQUANTIZE(eag_dequantize_u8_f32, uint8_t)
EAG_DEQUANTIZE(eag_dequantize_s16_f32, int16_t)
