/* Two-operand elementwise kernels of int8 and int16, bit-exact to TensorFlow Lite Micro's.
 *
 * Layout: any, dense. Shapes are at most four dimensions after merging (the exporter merges every
 * run of dimensions that both operands walk alike), row-major; an operand that is broadcast along
 * a dimension has stride 0 there. No scratch. Stack: under 128 bytes.
 */
#ifndef EAG_BINARY_H
#define EAG_BINARY_H

#include <stdint.h>

/* How the operands are walked. Strides count elements; the output is dense. */
struct eag_broadcast {
  int32_t dims[4]; /* each at least 1, outermost first */
  int32_t stride0[4];
  int32_t stride1[4];
};

/* ADD: out = clamp(rescale(rescale0((in0 + offset0) << 20) + rescale1((in1 + offset1) << 20)) +
 * zero_point). offset0, offset1: -128..127 negated zero points. Multipliers are Q0.31 in
 * [2^30, 2^31); right shifts are 0..31 and round half away from zero. */
struct eag_add_s8_params {
  struct eag_broadcast shape;
  int32_t offset0, multiplier0, right_shift0;
  int32_t offset1, multiplier1, right_shift1;
  int32_t multiplier, right_shift, zero_point;
  int32_t min, max;       /* of the fused activation, -128..127 */
  const int8_t *constant; /* operand 1 of eag_add_constant_s8; else NULL */
};

void eag_add_s8(const struct eag_add_s8_params *p, const void *in0, const void *in1, void *out,
                void *scratch);
/* The same with operand 1 taken from p->constant. */
void eag_add_constant_s8(const struct eag_add_s8_params *p, const void *in0, void *out,
                         void *scratch);
/* SUB: operand 0 minus operand 1, rescaled like a sum; in0 - constant; constant - in0. */
void eag_sub_s8(const struct eag_add_s8_params *p, const void *in0, const void *in1, void *out,
                void *scratch);
void eag_sub_constant_s8(const struct eag_add_s8_params *p, const void *in0, void *out,
                         void *scratch);
void eag_sub_from_constant_s8(const struct eag_add_s8_params *p, const void *in0, void *out,
                              void *scratch);

/* ADD and SUB of int16: as above, with zero points of 0 and operands shifted left by 15. */
struct eag_add_s16_params {
  struct eag_broadcast shape;
  int32_t multiplier0, right_shift0;
  int32_t multiplier1, right_shift1;
  int32_t multiplier, right_shift;
  int32_t min, max;        /* of the fused activation, -32768..32767 */
  const int16_t *constant; /* operand 1 of the functions that take a constant; else NULL */
};

void eag_add_s16(const struct eag_add_s16_params *p, const void *in0, const void *in1, void *out,
                 void *scratch);
void eag_add_constant_s16(const struct eag_add_s16_params *p, const void *in0, void *out,
                          void *scratch);
void eag_sub_s16(const struct eag_add_s16_params *p, const void *in0, const void *in1, void *out,
                 void *scratch);
void eag_sub_constant_s16(const struct eag_add_s16_params *p, const void *in0, void *out,
                          void *scratch);
void eag_sub_from_constant_s16(const struct eag_add_s16_params *p, const void *in0, void *out,
                               void *scratch);

/* ADD or SUB of two dense tensors of one shape, in a form that is cheap: out =
 * clamp((in0 * a + in1 * b + c) >> shift). The exporter picks a, b, c and shift so that all 65536
 * pairs of operands give TensorFlow Lite Micro's very result, and uses eag_add_s8 where no such
 * numbers exist. |in0 * a + in1 * b + c| stays below 2^31; shift is 1..30. `out` may be either
 * operand. */
struct eag_add_linear_s8_params {
  int32_t size; /* elements */
  int32_t a, b, c;
  int32_t shift;
  int32_t min, max;
};

void eag_add_linear_s8(const struct eag_add_linear_s8_params *p, const void *in0, const void *in1,
                       void *out, void *scratch);

/* MUL: out = clamp(rescale((in0 + offset0) * (in1 + offset1)) + zero_point). The rescaling
 * multiplier is Q0.31 in [2^30, 2^31) with a shift of -31 (right) to 13 (left). */
struct eag_mul_s8_params {
  struct eag_broadcast shape;
  int32_t offset0, offset1;
  int32_t multiplier, shift, zero_point;
  int32_t min, max;
  const int8_t *constant; /* operand 1 of eag_mul_constant_s8; else NULL */
};

void eag_mul_s8(const struct eag_mul_s8_params *p, const void *in0, const void *in1, void *out,
                void *scratch);
/* The same with operand 1 taken from p->constant. */
void eag_mul_constant_s8(const struct eag_mul_s8_params *p, const void *in0, void *out,
                         void *scratch);

/* MUL of int16: zero points are 0, and the shift is at most 0, so that products fit. */
struct eag_mul_s16_params {
  struct eag_broadcast shape;
  int32_t multiplier, shift;
  int32_t min, max;
  const int16_t *constant; /* operand 1 of eag_mul_constant_s16; else NULL */
};

void eag_mul_s16(const struct eag_mul_s16_params *p, const void *in0, const void *in1, void *out,
                 void *scratch);
void eag_mul_constant_s16(const struct eag_mul_s16_params *p, const void *in0, void *out,
                          void *scratch);

#endif
