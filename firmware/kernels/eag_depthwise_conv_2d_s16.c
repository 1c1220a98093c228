#include "eag_depthwise_conv_2d_s16.h"

#include "eag_requant.h"
#include "eag_taps.h"

uint32_t eag_depthwise_conv_2d_s16_scratch_bytes(
    const struct eag_depthwise_conv_2d_s16_params *p) {
  (void)p;
  return 0;
}

/* One output element before rescaling: the taps `rows` x `columns`, `w` the first of them for this
 * output channel, `pixel` the input's element under it. */
static int64_t window_sum(const struct eag_depthwise_conv_2d_s16_params *p, const int16_t *pixel,
                          const int8_t *w, struct eag_taps rows, struct eag_taps columns) {
  const int32_t out_c = p->in_c * p->multiplicity;
  const int32_t right = p->dilation_w * p->in_c;
  const int32_t down = p->dilation_h * p->in_w * p->in_c;
  int64_t sum = 0;
  for (int32_t ky = rows.first; ky < rows.end; ky++) {
    const int16_t *x = pixel;
    const int8_t *tap = w;
    for (int32_t kx = columns.first; kx < columns.end; kx++) {
      sum += (int32_t)*tap * *x;
      x += right;
      tap += out_c;
    }
    pixel += down;
    w += p->kernel_w * out_c;
  }
  return sum;
}

void eag_depthwise_conv_2d_s16(const struct eag_depthwise_conv_2d_s16_params *p, const int16_t *in,
                               int16_t *out, void *scratch) {
  const int32_t out_c = p->in_c * p->multiplicity;
  (void)scratch;
  for (int32_t oy = 0; oy < p->out_h; oy++) {
    const int32_t y = oy * p->stride_h - p->pad_h;
    const struct eag_taps rows = eag_taps_inside(y, p->kernel_h, p->dilation_h, p->in_h);
    for (int32_t ox = 0; ox < p->out_w; ox++) {
      const int32_t x = ox * p->stride_w - p->pad_w;
      const struct eag_taps columns = eag_taps_inside(x, p->kernel_w, p->dilation_w, p->in_w);
      const int32_t row = y + rows.first * p->dilation_h;
      const int32_t column = x + columns.first * p->dilation_w;
      const int16_t *pixel = in + (row * p->in_w + column) * p->in_c;
      const int8_t *w = p->weights + (rows.first * p->kernel_w + columns.first) * out_c;
      int32_t o = 0;
      for (int32_t c = 0; c < p->in_c; c++) {
        for (int32_t m = 0; m < p->multiplicity; m++, o++) {
          const int32_t q = p->per_channel ? o : 0;
          const int64_t sum = p->bias[o] + window_sum(p, pixel + c, w + o, rows, columns);
          *out++ = eag_rescale_s16(sum, p->multiplier[q], p->shift[q], p->narrow, p->act_min,
                                   p->act_max);
        }
      }
    }
  }
}
