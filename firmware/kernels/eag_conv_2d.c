#include "eag_conv_2d.h"

#include "eag_requant.h"

uint32_t eag_conv_2d_scratch_bytes(const struct eag_conv_2d_params *p) {
  (void)p;
  return 0;
}

/* One output element before requantization: output channel's weights `w`, window's corner (y, x). */
static int32_t window_sum(const struct eag_conv_2d_params *p, const int8_t *in, const int8_t *w,
                          int32_t y, int32_t x) {
  int32_t sum = 0;
  for (int32_t ky = 0; ky < p->kernel_h; ky++) {
    const int32_t row = y + ky * p->dilation_h;
    for (int32_t kx = 0; kx < p->kernel_w; kx++) {
      const int32_t column = x + kx * p->dilation_w;
      const int inside = row >= 0 && row < p->in_h && column >= 0 && column < p->in_w;
      if (inside) {
        const int8_t *pixel = in + (row * p->in_w + column) * p->in_c;
        for (int32_t c = 0; c < p->in_c; c++) {
          sum += w[c] * pixel[c];
        }
      } else {
        for (int32_t c = 0; c < p->in_c; c++) {
          sum += w[c] * p->in_zero;
        }
      }
      w += p->in_c;
    }
  }
  return sum;
}

void eag_conv_2d(const struct eag_conv_2d_params *p, const int8_t *in, int8_t *out, void *scratch) {
  const int32_t taps = p->kernel_h * p->kernel_w * p->in_c;
  (void)scratch;
  for (int32_t y = 0; y < p->out_h; y++) {
    for (int32_t x = 0; x < p->out_w; x++) {
      for (int32_t o = 0; o < p->out_c; o++) {
        const int32_t q = p->per_channel ? o : 0;
        const int32_t acc = p->bias[o] + window_sum(p, in, p->weights + o * taps,
                                                    y * p->stride_h - p->pad_h,
                                                    x * p->stride_w - p->pad_w);
        const int32_t real = p->out_zero + eag_requantize(acc, p->multiplier[q], p->shift[q]);
        *out++ = (int8_t)eag_clamp(real, p->act_min, p->act_max);
      }
    }
  }
}
