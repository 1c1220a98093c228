/* FULLY_CONNECTED of int16 activations with int8 weights, for cores with the DSP extension. */
#ifndef EAG_FULLY_CONNECTED_S16_DSP_H
#define EAG_FULLY_CONNECTED_S16_DSP_H

#include <stdint.h>

/* As struct eag_fully_connected_s16_params, but `in` and `weights` lie at multiples of 4, depth is a
 * multiple of 4, weights are packed as eag_mac_s16.h says, and sums, the bias included, stay below
 * 2^31 for every input. */
struct eag_fully_connected_s16_dsp_params {
  const int8_t *weights;
  const int32_t *bias;   /* [out_c] */
  const int32_t *factor; /* of eag_scale_s16: [out_c], or [1] where per_channel is 0 */
  uint32_t rows, depth, out_c;
  uint8_t per_channel;
  int16_t act_min, act_max;
};

/* `out` must not overlap `in`. Scratch: none (NULL). Stack: under 192 B. */
void eag_fully_connected_s16_dsp(const struct eag_fully_connected_s16_dsp_params *p,
                                 const int16_t *in, int16_t *out, void *scratch);
uint32_t eag_fully_connected_s16_dsp_scratch_bytes(
    const struct eag_fully_connected_s16_dsp_params *p);

#endif
