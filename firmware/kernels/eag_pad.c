#include "eag_dsp.h"
#include "eag_shape.h"

struct filler {
  int32_t value;
  int wide; /* an element is two bytes */
};

/* Fills `bytes` and returns where they end. */
EAG_INLINE int8_t *fill(int8_t *out, int32_t bytes, struct filler with) {
  int8_t *const end = out + bytes;
  if (!with.wide) {
    __builtin_memset(out, with.value, (unsigned)bytes);
    return end;
  }
  for (int16_t *element = (int16_t *)(void *)out; (int8_t *)element != end; ++element) {
    *element = (int16_t)with.value;
  }
  return end;
}

EAG_INLINE void pad(const struct eag_pad_params *p, const int8_t *from, int8_t *to, int wide) {
  const struct filler with = {p->value, wide};
  /* Bytes of one step along each dimension of the output. */
  int32_t row = p->before[3] + p->dims[3] + p->after[3];
  int32_t plane = row * (p->before[2] + p->dims[2] + p->after[2]);
  int32_t block = plane * (p->before[1] + p->dims[1] + p->after[1]);
  to = fill(to, p->before[0] * block, with);
  for (int32_t i = 0; i < p->dims[0]; ++i) {
    to = fill(to, p->before[1] * plane, with);
    for (int32_t j = 0; j < p->dims[1]; ++j) {
      to = fill(to, p->before[2] * row, with);
      for (int32_t k = 0; k < p->dims[2]; ++k) {
        to = fill(to, p->before[3], with);
        __builtin_memcpy(to, from, (unsigned)p->dims[3]);
        from += p->dims[3];
        to = fill(to + p->dims[3], p->after[3], with);
      }
      to = fill(to, p->after[2] * row, with);
    }
    to = fill(to, p->after[1] * plane, with);
  }
  fill(to, p->after[0] * block, with);
}

void eag_pad_s8(const struct eag_pad_params *p, const void *in, void *out, void *scratch) {
  (void)scratch;
  pad(p, in, out, 0);
}

void eag_pad_s16(const struct eag_pad_params *p, const void *in, void *out, void *scratch) {
  (void)scratch;
  pad(p, in, out, 1);
}
