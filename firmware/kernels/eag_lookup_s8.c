#include "eag_activation.h"

void eag_lookup_s8(const struct eag_lookup_s8_params *p, const void *in, void *out, void *scratch) {
  const int8_t *middle = p->table + 128;
  const int8_t *x = in;
  int8_t *y = out;
  (void)scratch;
  for (int32_t n = p->size; n > 0; --n) *y++ = middle[*x++];
}
