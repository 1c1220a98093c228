#include "eag_fully_connected_s16_dsp.h"

#include "eag_mac_s16.h"

uint32_t eag_fully_connected_s16_dsp_scratch_bytes(
    const struct eag_fully_connected_s16_dsp_params *p) {
  (void)p;
  return 0;
}

void eag_fully_connected_s16_dsp(const struct eag_fully_connected_s16_dsp_params *p,
                                 const int16_t *in, int16_t *out, void *scratch) {
  const struct eag_mac_s16 m = {p->weights, p->bias,        p->factor,  p->depth,
                                p->out_c,   p->per_channel, p->act_min, p->act_max};
  (void)scratch;
  eag_mac_s16_all(&m, in, p->depth, p->rows, out);
}
