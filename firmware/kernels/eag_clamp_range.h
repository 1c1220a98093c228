/* A fused activation that the saturation to int8 does not already make. */
#ifndef EAG_CLAMP_RANGE_H
#define EAG_CLAMP_RANGE_H

#include <stdint.h>

#include "eag_requant.h"

/* The DSP kernels saturate to int8 with SSAT, which is all that RELU needs where the output's zero
 * point is -128. Narrower bounds are applied to the finished output: clamping twice is clamping to
 * the narrower range. */
static inline void eag_clamp_range(int8_t *out, uint32_t count, int32_t min, int32_t max) {
  if (min == -128 && max == 127) return;
  for (uint32_t i = 0; i < count; i++) {
    out[i] = (int8_t)eag_clamp(out[i], min, max);
  }
}

#endif
