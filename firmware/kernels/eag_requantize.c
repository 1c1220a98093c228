#include "eag_quantize.h"
#include "eag_requant.h"

/* One function a pair of types; only those that a model uses are linked. */
#define EAG_REQUANTIZE(name, from, to)                                                           \
  void name(const struct eag_requantize_params *p, const void *in, void *out, void *scratch) {   \
    const from *x = in;                                                                          \
    to *y = out;                                                                                 \
    (void)scratch;                                                                               \
    for (int32_t n = p->size; n > 0; --n) {                                                      \
      int32_t q = eag_requantize(*x++ + p->offset, p->multiplier, p->shift) + p->zero_point;     \
      *y++ = (to)eag_clamp(q, p->min, p->max);                                                   \
    }                                                                                            \
  }

EAG_REQUANTIZE(eag_requantize_s8_s8, int8_t, int8_t)
EAG_REQUANTIZE(eag_requantize_s8_u8, int8_t, uint8_t)
EAG_REQUANTIZE(eag_requantize_u8_s8, uint8_t, int8_t)
EAG_REQUANTIZE(eag_requantize_s8_s16, int8_t, int16_t)
EAG_REQUANTIZE(eag_requantize_s16_s8, int16_t, int8_t)
EAG_REQUANTIZE(eag_requantize_s16_s16, int16_t, int16_t)

#define EAG_CLAMP(name, type)                                                                   \
  void name(const struct eag_clamp_params *p, const void *in, void *out, void *scratch) {       \
    const int32_t min = p->min, max = p->max;                                                   \
    const type *x = in;                                                                         \
    type *y = out;                                                                              \
    (void)scratch;                                                                              \
    for (int32_t n = p->size; n > 0; --n) *y++ = (type)eag_clamp(*x++, min, max);               \
  }

EAG_CLAMP(eag_clamp_s8, int8_t)
EAG_CLAMP(eag_clamp_s16, int16_t)
