#include "eag_conv_2d.h"

#include "eag_conv_2d_window.h"
#include "eag_requant.h"

uint32_t eag_conv_2d_scratch_bytes(const struct eag_conv_2d_params *p) {
  (void)p;
  return 0;
}

void eag_conv_2d(const struct eag_conv_2d_params *p, const int8_t *in, int8_t *out, void *scratch) {
  const int32_t taps = p->kernel_h * p->kernel_w * p->in_c;
  (void)scratch;
  for (int32_t y = 0; y < p->out_h; y++) {
    for (int32_t x = 0; x < p->out_w; x++) {
      for (int32_t o = 0; o < p->out_c; o++) {
        const int32_t q = p->per_channel ? o : 0;
        const int32_t acc = p->bias[o] + eag_conv_2d_window_sum(p, in, p->weights + o * taps,
                                                                y * p->stride_h - p->pad_h,
                                                                x * p->stride_w - p->pad_w);
        const int32_t real = p->out_zero + eag_requantize(acc, p->multiplier[q], p->shift[q]);
        *out++ = (int8_t)eag_clamp(real, p->act_min, p->act_max);
      }
    }
  }
}
