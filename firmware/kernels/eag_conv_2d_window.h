/* One window of a CONV_2D, for the portable kernels. */
#ifndef EAG_CONV_2D_WINDOW_H
#define EAG_CONV_2D_WINDOW_H

#include <stdint.h>

#include "eag_conv_2d.h"
#include "eag_dsp.h"

/* One output element before requantization, less its bias: output channel's weights `w`, window's
 * corner (y, x). */
EAG_INLINE int32_t eag_conv_2d_window_sum(const struct eag_conv_2d_params *p, const int8_t *in,
                                          const int8_t *w, int32_t y, int32_t x) {
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

#endif
