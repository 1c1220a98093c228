#include "eag_conv_2d_s16.h"

#include "eag_requant.h"
#include "eag_taps.h"

uint32_t eag_conv_2d_s16_scratch_bytes(const struct eag_conv_2d_s16_params *p) {
  (void)p;
  return 0;
}

/* One output element before rescaling: the taps `rows` x `columns` of output channel's weights `w`
 * over the image's `pixel` under the first of them. */
static int64_t window_sum(const struct eag_conv_2d_s16_params *p, const int16_t *pixel,
                          const int8_t *w, struct eag_taps rows, struct eag_taps columns) {
  const int32_t in_c = p->in_c;
  const int32_t right = p->dilation_w * in_c;
  /* Columns that are neighbours are one run of elements. */
  const int32_t columns_inside = columns.end > columns.first ? columns.end - columns.first : 0;
  const int32_t runs = p->dilation_w == 1 ? 1 : columns_inside;
  const int32_t run = p->dilation_w == 1 ? columns_inside * in_c : in_c;
  const int32_t down = p->dilation_h * p->in_w * in_c;
  int64_t sum = 0;
  w += (rows.first * p->kernel_w + columns.first) * in_c;
  for (int32_t ky = rows.first; ky < rows.end; ky++) {
    const int16_t *x = pixel;
    const int8_t *tap = w;
    for (int32_t i = 0; i < runs; i++) {
      for (int32_t c = 0; c < run; c++) {
        sum += (int32_t)tap[c] * x[c];
      }
      x += right;
      tap += in_c;
    }
    pixel += down;
    w += p->kernel_w * in_c;
  }
  return sum;
}

void eag_conv_2d_s16(const struct eag_conv_2d_s16_params *p, const int16_t *in, int16_t *out,
                     void *scratch) {
  const int32_t taps = p->kernel_h * p->kernel_w * p->in_c;
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
      for (int32_t o = 0; o < p->out_c; o++) {
        const int32_t q = p->per_channel ? o : 0;
        const int64_t sum = p->bias[o] + window_sum(p, pixel, p->weights + o * taps, rows, columns);
        *out++ = eag_rescale_s16(sum, p->multiplier[q], p->shift[q], p->narrow, p->act_min,
                                 p->act_max);
      }
    }
  }
}
