#include "eag_shape.h"

/* Fills `count` bytes and returns where they end. */
static int8_t *fill(int8_t *out, int32_t count, int32_t value) {
  __builtin_memset(out, value, (unsigned)count);
  return out + count;
}

void eag_pad_s8(const struct eag_pad_s8_params *p, const void *in, void *out, void *scratch) {
  const int8_t *from = in;
  int8_t *to = out;
  /* Bytes of one step along each dimension of the output. */
  int32_t row = p->before[3] + p->dims[3] + p->after[3];
  int32_t plane = row * (p->before[2] + p->dims[2] + p->after[2]);
  int32_t block = plane * (p->before[1] + p->dims[1] + p->after[1]);
  (void)scratch;
  to = fill(to, p->before[0] * block, p->value);
  for (int32_t i = 0; i < p->dims[0]; ++i) {
    to = fill(to, p->before[1] * plane, p->value);
    for (int32_t j = 0; j < p->dims[1]; ++j) {
      to = fill(to, p->before[2] * row, p->value);
      for (int32_t k = 0; k < p->dims[2]; ++k) {
        to = fill(to, p->before[3], p->value);
        __builtin_memcpy(to, from, (unsigned)p->dims[3]);
        from += p->dims[3];
        to = fill(to + p->dims[3], p->after[3], p->value);
      }
      to = fill(to, p->after[2] * row, p->value);
    }
    to = fill(to, p->after[1] * plane, p->value);
  }
  fill(to, p->after[0] * block, p->value);
}
