#define EAG_ELEMENT int16_t
#define EAG_PARAMS struct eag_add_s16_params

#include "eag_add_broadcast.h"

/* Twice the sum fits: operands are halved at least by their multipliers. */
EAG_INLINE int32_t add_one(const struct eag_add_s16_params *p, const struct eag_add_shifts *s,
                           int32_t x, int32_t y, int32_t sign0, int32_t sign1) {
  const int32_t sum = sign0 * eag_add_rescale(x * (1 << 16), p->multiplier0, s->operand0) +
                      sign1 * eag_add_rescale(y * (1 << 16), p->multiplier1, s->operand1);
  return eag_add_rescale(2 * sum, p->multiplier, s->result);
}

void eag_add_s16(const struct eag_add_s16_params *p, const void *in0, const void *in1, void *out,
                 void *scratch) {
  (void)scratch;
  add(p, in0, in1, out, 1, 1);
}

void eag_add_constant_s16(const struct eag_add_s16_params *p, const void *in0, void *out,
                          void *scratch) {
  (void)scratch;
  add(p, in0, p->constant, out, 1, 1);
}

void eag_sub_s16(const struct eag_add_s16_params *p, const void *in0, const void *in1, void *out,
                 void *scratch) {
  (void)scratch;
  add(p, in0, in1, out, 1, -1);
}

void eag_sub_constant_s16(const struct eag_add_s16_params *p, const void *in0, void *out,
                          void *scratch) {
  (void)scratch;
  add(p, in0, p->constant, out, 1, -1);
}

void eag_sub_from_constant_s16(const struct eag_add_s16_params *p, const void *in0, void *out,
                               void *scratch) {
  (void)scratch;
  add(p, in0, p->constant, out, -1, 1);
}
