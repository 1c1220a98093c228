/* FULLY_CONNECTED, int8, for cores with the DSP extension. */
#ifndef EAG_FULLY_CONNECTED_DSP_H
#define EAG_FULLY_CONNECTED_DSP_H

#include <stdint.h>

/* As struct eag_fully_connected_params, but:
 * - depth is a multiple of 4, and `in` and `weights` lie at multiples of 4;
 * - weights of four rows stand interleaved, four elements each in turn; the last out_c % 4 rows
 *   stand one after another;
 * - factors are 2 * multiplier - 2^32 and the right shift, to 22 (see eag_requant.h);
 *   |accumulator| < 2^30. */
struct eag_fully_connected_dsp_params {
  const int8_t *weights;
  const int32_t *bias;     /* [out_c], folded */
  const int32_t *doubled;  /* [out_c], or [1] where per_channel is 0 */
  const uint8_t *exponent; /* as doubled */
  uint32_t rows, depth, out_c;
  uint8_t per_channel;
  int8_t out_zero;
  int8_t act_min, act_max;
};

/* Four rows at a time: SXTB16 on both sides, SMLAD. `out` must not overlap `in`. Scratch: none
 * (NULL). Stack: under 128 B. */
void eag_fully_connected_dsp(const struct eag_fully_connected_dsp_params *p, const int8_t *in,
                             int8_t *out, void *scratch);
uint32_t eag_fully_connected_dsp_scratch_bytes(const struct eag_fully_connected_dsp_params *p);

#endif
