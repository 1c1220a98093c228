/* ADD and SUB of two tensors, or of a tensor and a constant, in every way that shapes broadcast.
 *
 * A template: who includes it defines EAG_ELEMENT, EAG_PARAMS (the struct of the parameters) and
 * add_one, which is declared below. */
#ifndef EAG_ADD_BROADCAST_H
#define EAG_ADD_BROADCAST_H

#include "eag_add_rescale.h"
#include "eag_binary.h"

/* The right shifts of the two operands and of their sum. */
struct eag_add_shifts {
  struct eag_shift operand0, operand1, result;
};

/* One element of the result before it is clamped. sign0, sign1: 1 for an operand that is added, -1
 * for one that is taken away. */
EAG_INLINE int32_t add_one(const EAG_PARAMS *p, const struct eag_add_shifts *s, int32_t x,
                           int32_t y, int32_t sign0, int32_t sign1);

EAG_INLINE void add(const EAG_PARAMS *p, const EAG_ELEMENT *in0, const EAG_ELEMENT *in1,
                    EAG_ELEMENT *out, int32_t sign0, int32_t sign1) {
  const struct eag_broadcast *b = &p->shape;
  const struct eag_add_shifts s = {eag_shift_of(p->right_shift0), eag_shift_of(p->right_shift1),
                                   eag_shift_of(p->right_shift)};
  for (int32_t i = 0; i < b->dims[0]; ++i) {
    for (int32_t j = 0; j < b->dims[1]; ++j) {
      for (int32_t k = 0; k < b->dims[2]; ++k) {
        const EAG_ELEMENT *x = in0 + i * b->stride0[0] + j * b->stride0[1] + k * b->stride0[2];
        const EAG_ELEMENT *y = in1 + i * b->stride1[0] + j * b->stride1[1] + k * b->stride1[2];
        const EAG_ELEMENT *end = out + b->dims[3];
        while (out != end) {
          *out++ = (EAG_ELEMENT)eag_clamp(add_one(p, &s, *x, *y, sign0, sign1), p->min, p->max);
          x += b->stride0[3];
          y += b->stride1[3];
        }
      }
    }
  }
}

#endif
