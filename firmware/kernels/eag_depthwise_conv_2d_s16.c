#include "eag_depthwise_conv_2d_s16.h"

#include "eag_requant.h"
#include "eag_taps.h"

uint32_t eag_depthwise_conv_2d_s16_scratch_bytes(
    const struct eag_depthwise_conv_2d_s16_params *p) {
  (void)p;
  return 0;
}

/* The taps of a window that lie inside the image: where the first of them is, and where the next. */
struct taps {
  const int16_t *pixel;
  const int8_t *weight;
  int32_t rows, columns;
  int32_t right, down;          /* elements from a tap's input to the next column's and row's */
  int32_t tap_right, tap_down; /* weights likewise */
};

/* Sums of four neighbouring channels, the first of them `c`. */
static void four_sums(struct taps t, int32_t c, int32_t *sums) {
  const int16_t *row = t.pixel + c;
  const int8_t *tap_row = t.weight + c;
  int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  for (int32_t y = t.rows; y > 0; y--) {
    const int16_t *x = row;
    const int8_t *w = tap_row;
    for (int32_t i = t.columns; i > 0; i--) {
      s0 += w[0] * x[0];
      s1 += w[1] * x[1];
      s2 += w[2] * x[2];
      s3 += w[3] * x[3];
      x += t.right;
      w += t.tap_right;
    }
    row += t.down;
    tap_row += t.tap_down;
  }
  sums[0] = s0;
  sums[1] = s1;
  sums[2] = s2;
  sums[3] = s3;
}

/* The sum of output channel `o`, which reads input channel `c`. */
static int32_t one_sum(struct taps t, int32_t c, int32_t o) {
  const int16_t *row = t.pixel + c;
  const int8_t *tap_row = t.weight + o;
  int32_t sum = 0;
  for (int32_t y = t.rows; y > 0; y--) {
    const int16_t *x = row;
    const int8_t *w = tap_row;
    for (int32_t i = t.columns; i > 0; i--) {
      sum += *w * *x;
      x += t.right;
      w += t.tap_right;
    }
    row += t.down;
    tap_row += t.tap_down;
  }
  return sum;
}

static void pixel_out(const struct eag_depthwise_conv_2d_s16_params *p, struct taps t,
                      int16_t *out) {
  const int32_t channels = p->in_c * p->multiplicity;
  int32_t o = 0;
  while (o < channels) {
    int32_t sums[4];
    int32_t count = 1;
    if (p->multiplicity == 1 && channels - o >= 4) {
      four_sums(t, o, sums);
      count = 4;
    } else {
      sums[0] = one_sum(t, p->multiplicity == 1 ? o : o / p->multiplicity, o);
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
  struct taps t;
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
