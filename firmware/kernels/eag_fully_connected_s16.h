/* FULLY_CONNECTED of int16 activations with int8 weights. */
#ifndef EAG_FULLY_CONNECTED_S16_H
#define EAG_FULLY_CONNECTED_S16_H

#include <stdint.h>

/* `rows` vectors of `depth` elements, each to `out_c` elements. Zero points are 0, sums 64 bits
 * wide; bias, multipliers and `narrow` as in eag_conv_2d_s16.h. */
struct eag_fully_connected_s16_params {
  const int8_t *weights;     /* [out_c][depth], -128 to 127 */
  const int64_t *bias;       /* [out_c] */
  const int32_t *multiplier; /* [out_c], or [1] where per_channel is 0 */
  const int8_t *shift;       /* as multiplier; positive to the left */
  uint32_t rows, depth, out_c;
  uint8_t per_channel;
  uint8_t narrow;
  int16_t act_min, act_max;
};

/* Portable C99. `out` must not overlap `in`. Scratch: none (NULL). Stack: under 96 B. */
void eag_fully_connected_s16(const struct eag_fully_connected_s16_params *p, const int16_t *in,
                             int16_t *out, void *scratch);
uint32_t eag_fully_connected_s16_scratch_bytes(const struct eag_fully_connected_s16_params *p);

#endif
