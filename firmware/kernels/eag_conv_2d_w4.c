#include "eag_conv_2d_w4.h"

#include "eag_conv_2d_window.h"
#include "eag_int4.h"
#include "eag_requant.h"

uint32_t eag_conv_2d_w4_scratch_bytes(const struct eag_conv_2d_params *p) {
  return (uint32_t)p->kernel_h * p->kernel_w * p->in_c;
}

void eag_conv_2d_w4(const struct eag_conv_2d_params *p, const int8_t *in, int8_t *out,
                    void *scratch) {
  const uint32_t taps = eag_conv_2d_w4_scratch_bytes(p);
  const uint32_t row_bytes = (taps + 1) / 2;
  const uint32_t pixels = (uint32_t)p->out_h * p->out_w;
  int8_t *weights = scratch;
  for (uint32_t first = 0; first < pixels; first += EAG_CONV_2D_W4_TILE) {
    const uint32_t left = pixels - first;
    const uint32_t count = left < EAG_CONV_2D_W4_TILE ? left : EAG_CONV_2D_W4_TILE;
    for (uint32_t o = 0; o < p->out_c; o++) {
      const uint32_t q = p->per_channel ? o : 0;
      int8_t *to = out + o;
      eag_int4_unpack(weights, p->weights + o * row_bytes, taps);
      uint32_t y = first / p->out_w, x = first % p->out_w;
      for (uint32_t i = 0; i < count; i++, to += p->out_c) {
        const int32_t acc =
            p->bias[o] + eag_conv_2d_window_sum(p, in, weights,
                                                (int32_t)(y * p->stride_h) - p->pad_h,
                                                (int32_t)(x * p->stride_w) - p->pad_w);
        const int32_t real = p->out_zero + eag_requantize(acc, p->multiplier[q], p->shift[q]);
        *to = (int8_t)eag_clamp(real, p->act_min, p->act_max);
        if (++x == p->out_w) {
          x = 0;
          y++;
        }
      }
    }
    out += count * p->out_c;
  }
}
