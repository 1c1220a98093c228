/* Kernels that move bytes and compute nothing: copies, concatenation, padding. Elements are bytes,
 * so they serve any type once sizes are counted in bytes. No scratch.
 */
#ifndef EAG_SHAPE_H
#define EAG_SHAPE_H

#include <stdint.h>

/* out[i] = in[i] for `size` bytes; for a RESHAPE whose result cannot share its operand's memory.
 * `out` must not overlap `in`. */
struct eag_copy_params {
  int32_t size;
};

void eag_copy(const struct eag_copy_params *p, const void *in, void *out, void *scratch);

#define EAG_CONCAT_MAX 8

/* Operand i is [outer][widths[i]] bytes; the output has them side by side in each of `outer` rows.
 * Stack: under 96 bytes. */
struct eag_concat_params {
  int32_t outer;
  int32_t widths[EAG_CONCAT_MAX];
};

void eag_concat_2(const struct eag_concat_params *p, const void *in0, const void *in1, void *out,
                  void *scratch);
void eag_concat_3(const struct eag_concat_params *p, const void *in0, const void *in1,
                  const void *in2, void *out, void *scratch);
void eag_concat_4(const struct eag_concat_params *p, const void *in0, const void *in1,
                  const void *in2, const void *in3, void *out, void *scratch);
void eag_concat_5(const struct eag_concat_params *p, const void *in0, const void *in1,
                  const void *in2, const void *in3, const void *in4, void *out, void *scratch);
void eag_concat_6(const struct eag_concat_params *p, const void *in0, const void *in1,
                  const void *in2, const void *in3, const void *in4, const void *in5, void *out,
                  void *scratch);
void eag_concat_7(const struct eag_concat_params *p, const void *in0, const void *in1,
                  const void *in2, const void *in3, const void *in4, const void *in5,
                  const void *in6, void *out, void *scratch);
void eag_concat_8(const struct eag_concat_params *p, const void *in0, const void *in1,
                  const void *in2, const void *in3, const void *in4, const void *in5,
                  const void *in6, const void *in7, void *out, void *scratch);

/* The input [dims[0]]..[dims[3]] bytes inside an output that has before[i] and after[i] more along
 * dimension i, filled with `value`, an element. Stack: under 128 bytes. */
struct eag_pad_params {
  int32_t dims[4];
  int32_t before[4];
  int32_t after[4];
  int32_t value;
};

void eag_pad_s8(const struct eag_pad_params *p, const void *in, void *out, void *scratch);
/* The same of int16 elements; the innermost dimension is still counted in bytes. */
void eag_pad_s16(const struct eag_pad_params *p, const void *in, void *out, void *scratch);

#endif
