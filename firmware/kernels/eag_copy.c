#include "eag_shape.h"

void eag_copy(const struct eag_copy_params *p, const void *in, void *out, void *scratch) {
  (void)scratch;
  __builtin_memcpy(out, in, (unsigned)p->size);
}
