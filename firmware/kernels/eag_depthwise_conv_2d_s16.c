#include "eag_depthwise_conv_2d_s16.h"

#include "eag_depthwise_s16.h"
#include "eag_requant.h"

uint32_t eag_depthwise_conv_2d_s16_scratch_bytes(
    const struct eag_depthwise_conv_2d_s16_params *p) {
  (void)p;
  return 0;
}

static void pixel_out(const struct eag_depthwise_conv_2d_s16_params *p, struct eag_window t,
                      int16_t *out) {
  const int32_t channels = p->in_c * p->multiplicity;
  int32_t o = 0;
  while (o < channels) {
    int32_t sums[4];
    int32_t count = 1;
    if (p->multiplicity == 1 && channels - o >= 4) {
      eag_four_sums(t, o, sums);
      count = 4;
    } else {
      sums[0] = eag_one_sum(t, p->multiplicity == 1 ? o : o / p->multiplicity, o);
    }
    for (int32_t i = 0; i < count; i++, o++) {
      const int32_t q = p->per_channel ? o : 0;
      *out++ = eag_rescale_s16(p->bias[o] + sums[i], p->multiplier[q], p->shift[q], p->narrow,
                               p->act_min, p->act_max);
    }
  }
}

void eag_depthwise_conv_2d_s16(const struct eag_depthwise_conv_2d_s16_params *p, const int16_t *in,
                               int16_t *out, void *scratch) {
  const int32_t out_c = p->in_c * p->multiplicity;
  struct eag_window t;
  t.right = p->dilation_w * p->in_c;
  t.down = p->dilation_h * p->in_w * p->in_c;
  t.tap_right = out_c;
  t.tap_down = p->kernel_w * out_c;
  (void)scratch;
  for (int32_t oy = 0; oy < p->out_h; oy++) {
    const int32_t y = oy * p->stride_h - p->pad_h;
    const struct eag_taps rows = eag_taps_inside(y, p->kernel_h, p->dilation_h, p->in_h);
    const int32_t row = y + rows.first * p->dilation_h;
    t.rows = rows.end - rows.first;
    for (int32_t ox = 0; ox < p->out_w; ox++, out += out_c) {
      const int32_t x = ox * p->stride_w - p->pad_w;
      const struct eag_taps columns = eag_taps_inside(x, p->kernel_w, p->dilation_w, p->in_w);
      const int32_t column = x + columns.first * p->dilation_w;
      t.columns = columns.end - columns.first;
      t.pixel = in + (row * p->in_w + column) * p->in_c;
      t.weight = p->weights + (rows.first * p->kernel_w + columns.first) * out_c;
      pixel_out(p, t, out);
    }
  }
}
