#include "eag_dsp.h"
#include "eag_quantize.h"
#include "eag_requant.h"

void eag_clamp_s8_dsp(const struct eag_clamp_params *p, const void *in, void *out, void *scratch) {
  const int32_t min = p->min, max = p->max;
  const uint32_t mins = (uint32_t)(uint8_t)min * 0x01010101u;
  const uint32_t maxs = (uint32_t)(uint8_t)max * 0x01010101u;
  const int8_t *x = in;
  int8_t *y = out;
  int32_t n = p->size;
  (void)scratch;
  for (; n >= 4; n -= 4, x += 4, y += 4) {
    eag_store32(y, eag_min_s8x4(eag_max_s8x4(eag_load32(x), mins), maxs));
  }
  for (; n > 0; --n) *y++ = (int8_t)eag_clamp(*x++, min, max);
}
