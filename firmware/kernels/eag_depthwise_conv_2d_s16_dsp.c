#include "eag_depthwise_conv_2d_s16_dsp.h"

#include "eag_depthwise_s16.h"
#include "eag_requant.h"

uint32_t eag_depthwise_conv_2d_s16_dsp_scratch_bytes(
    const struct eag_depthwise_conv_2d_s16_dsp_params *p) {
  (void)p;
  return 0;
}

/* Sums of four neighbouring channels, the first of them `c`, from packed weights. */
EAG_INLINE void packed_sums(const struct eag_window *t, int32_t c, int32_t *sums) {
  const int16_t *row = t->pixel + c;
  const int8_t *tap_row = t->weight + c;
  int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  for (int32_t y = t->rows; y > 0; y--) {
    const int16_t *x = row;
    const int8_t *w = tap_row;
    for (int32_t i = t->columns; i > 0; i--) {
      const uint32_t quad = eag_load32(w), low = eag_load32(x), high = eag_load32(x + 2);
      const uint32_t first = eag_sxtb16(quad), second = eag_sxtb16_ror8(quad);
      s0 = eag_smlabb(first, low, s0);
      s1 = eag_smlatt(first, low, s1);
      s2 = eag_smlabb(second, high, s2);
      s3 = eag_smlatt(second, high, s3);
      x += t->right;
      w += t->tap_right;
    }
    row += t->down;
    tap_row += t->tap_down;
  }
  sums[0] = s0;
  sums[1] = s1;
  sums[2] = s2;
  sums[3] = s3;
}

static EAG_NOINLINE void pixel_out(const struct eag_depthwise_conv_2d_s16_dsp_params *p,
                                   const struct eag_window *window, int16_t *out) {
  const struct eag_window t = *window;
  const int32_t channels = p->in_c * p->multiplicity;
  const int32_t min = p->act_min, max = p->act_max;
  const int32_t *bias = p->bias, *factor = p->factor;
  const int packed = channels % 4 == 0;
  int32_t o = 0;
  if (p->multiplicity == 1) {
    for (; channels - o >= 4; o += 4, bias += 4, factor += 4, out += 4) {
      int32_t s[4];
      if (packed) {
        packed_sums(&t, o, s);
      } else {
        eag_four_sums(t, o, s);
      }
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
      pixel_out(p, &t, out);
    }
  }
}
