#include "eag_shape.h"

static void concat(const struct eag_concat_params *p, const uint8_t *const *in, int operands,
                   uint8_t *out) {
  for (int i = 0; i < operands; ++i) {
    const uint8_t *from = in[i];
    uint8_t *to = out;
    int32_t stride = 0;
    for (int j = 0; j < operands; ++j) stride += p->widths[j];
    for (int32_t row = 0; row < p->outer; ++row, from += p->widths[i], to += stride) {
      __builtin_memcpy(to, from, (unsigned)p->widths[i]);
    }
    out += p->widths[i];
  }
}

void eag_concat_2(const struct eag_concat_params *p, const void *in0, const void *in1, void *out,
                  void *scratch) {
  const uint8_t *const in[] = {in0, in1};
  (void)scratch;
  concat(p, in, 2, out);
}

void eag_concat_3(const struct eag_concat_params *p, const void *in0, const void *in1,
                  const void *in2, void *out, void *scratch) {
  const uint8_t *const in[] = {in0, in1, in2};
  (void)scratch;
  concat(p, in, 3, out);
}

void eag_concat_4(const struct eag_concat_params *p, const void *in0, const void *in1,
                  const void *in2, const void *in3, void *out, void *scratch) {
  const uint8_t *const in[] = {in0, in1, in2, in3};
  (void)scratch;
  concat(p, in, 4, out);
}

void eag_concat_5(const struct eag_concat_params *p, const void *in0, const void *in1,
                  const void *in2, const void *in3, const void *in4, void *out, void *scratch) {
  const uint8_t *const in[] = {in0, in1, in2, in3, in4};
  (void)scratch;
  concat(p, in, 5, out);
}

void eag_concat_6(const struct eag_concat_params *p, const void *in0, const void *in1,
                  const void *in2, const void *in3, const void *in4, const void *in5, void *out,
                  void *scratch) {
  const uint8_t *const in[] = {in0, in1, in2, in3, in4, in5};
  (void)scratch;
  concat(p, in, 6, out);
}

void eag_concat_7(const struct eag_concat_params *p, const void *in0, const void *in1,
                  const void *in2, const void *in3, const void *in4, const void *in5,
                  const void *in6, void *out, void *scratch) {
  const uint8_t *const in[] = {in0, in1, in2, in3, in4, in5, in6};
  (void)scratch;
  concat(p, in, 7, out);
}

void eag_concat_8(const struct eag_concat_params *p, const void *in0, const void *in1,
                  const void *in2, const void *in3, const void *in4, const void *in5,
                  const void *in6, const void *in7, void *out, void *scratch) {
  const uint8_t *const in[] = {in0, in1, in2, in3, in4, in5, in6, in7};
  (void)scratch;
  concat(p, in, 8, out);
}
