/* FULLY_CONNECTED, int8. */
#ifndef EAG_FULLY_CONNECTED_H
#define EAG_FULLY_CONNECTED_H

#include <stdint.h>

/* `rows` vectors of `depth` elements, each to `out_c` elements. The input's zero point is folded
 * into `bias`: bias[o] - in_zero * sum(weights[o]). */
struct eag_fully_connected_params {
  const int8_t *weights;     /* [out_c][depth], -128 to 127 */
  const int32_t *bias;       /* [out_c], folded */
  const int32_t *multiplier; /* [out_c], or [1] where per_channel is 0 */
  const int8_t *shift;       /* as multiplier; -31 to 30, positive to the left */
  uint32_t rows, depth, out_c;
  uint8_t per_channel;
  int8_t out_zero;
  int8_t act_min, act_max;
};

/* Portable C99. |accumulator| < 2^31, proven when the model is compiled. `out` must not overlap
 * `in`. Scratch: none (NULL). Stack: under 64 B. */
void eag_fully_connected(const struct eag_fully_connected_params *p, const int8_t *in, int8_t *out,
                         void *scratch);
uint32_t eag_fully_connected_scratch_bytes(const struct eag_fully_connected_params *p);

#endif
