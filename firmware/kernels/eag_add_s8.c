#define EAG_ELEMENT int8_t
#define EAG_PARAMS struct eag_add_s8_params

#include "eag_add_broadcast.h"

EAG_INLINE int32_t add_one(const struct eag_add_s8_params *p, const struct eag_add_shifts *s,
                           int32_t x, int32_t y, int32_t sign0, int32_t sign1) {
  const int32_t sum =
      sign0 * eag_add_rescale((x + p->offset0) * (1 << 21), p->multiplier0, s->operand0) +
      sign1 * eag_add_rescale((y + p->offset1) * (1 << 21), p->multiplier1, s->operand1);
  return eag_add_rescale(2 * sum, p->multiplier, s->result) + p->zero_point;
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
