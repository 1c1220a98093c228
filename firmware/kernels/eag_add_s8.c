#define EAG_ELEMENT int8_t
#define EAG_PARAMS struct eag_add_s8_params
#define EAG_NAME(what) eag_##what##_s8

#include "eag_add_broadcast.h"

EAG_INLINE int32_t add_one(const struct eag_add_s8_params *p, const struct eag_add_shifts *s,
                           int32_t x, int32_t y, int32_t sign0, int32_t sign1) {
  const int32_t sum =
      sign0 * eag_add_rescale((x + p->offset0) * (1 << 21), p->multiplier0, s->operand0) +
      sign1 * eag_add_rescale((y + p->offset1) * (1 << 21), p->multiplier1, s->operand1);
  return eag_add_rescale(2 * sum, p->multiplier, s->result) + p->zero_point;
}
