#include "eag_depthwise_conv_2d_s16_dsp.h"

#include "eag_depthwise_s16.h"
#include "eag_requant.h"

uint32_t eag_depthwise_conv_2d_s16_dsp_scratch_bytes(
    const struct eag_depthwise_conv_2d_s16_dsp_params *p) {
  (void)p;
  return 0;
}

static EAG_NOINLINE void pixel_out(const struct eag_depthwise_conv_2d_s16_dsp_params *p,
                                   struct eag_window t, int16_t *out) {
  const int32_t channels = p->in_c * p->multiplicity;
  const int32_t min = p->act_min, max = p->act_max;
  const int32_t *bias = p->bias, *factor = p->factor;
  int32_t o = 0;
  if (p->multiplicity == 1) {
    for (; channels - o >= 4; o += 4, bias += 4, factor += 4, out += 4) {
      int32_t s[4];
      eag_four_sums(t, o, s);
      out[0] = eag_scale_s16(bias[0] + s[0], factor[0], min, max);
      out[1] = eag_scale_s16(bias[1] + s[1], factor[1], min, max);
      out[2] = eag_scale_s16(bias[2] + s[2], factor[2], min, max);
      out[3] = eag_scale_s16(bias[3] + s[3], factor[3], min, max);
    }
  }
  for (; o < channels; o++) {
    const int32_t sum = eag_one_sum(t, o / p->multiplicity, o);
    *out++ = eag_scale_s16(*bias++ + sum, *factor++, min, max);
  }
}

void eag_depthwise_conv_2d_s16_dsp(const struct eag_depthwise_conv_2d_s16_dsp_params *p,
                                   const int16_t *in, int16_t *out, void *scratch) {
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
