#include "eag_depthwise_conv_3x3_dsp.h"

#include "eag_clamp_range.h"
#include "eag_dsp.h"
#include "eag_requant.h"

enum {
  GROUP = 4,        /* channels widened at a time: a word of int8 */
  COLUMN_WORDS = 8, /* a column: four channels of one pair of rows, then of the next */
  WEIGHT_WORDS = 24 /* 2 pairs of weight rows, 3 columns, 4 channels */
};

static uint32_t touched_columns(const struct eag_depthwise_conv_3x3_dsp_params *p) {
  return (p->out_w - 1u) * p->stride_w + 3u;
}

uint32_t eag_depthwise_conv_3x3_dsp_scratch_bytes(
    const struct eag_depthwise_conv_3x3_dsp_params *p) {
  return 4u * (WEIGHT_WORDS + COLUMN_WORDS * touched_columns(p));
}

/* A row of four channels: its words lie `step` bytes apart, or are all one word (step 0). */
typedef struct {
  const int8_t *at;
  uint32_t step;
} quad_row;

/* to[column] = (above, below) of each of the four channels. */
static EAG_NOINLINE void widen_pair(uint32_t *to, uint32_t to_step, quad_row above, quad_row below,
                                    uint32_t columns) {
  for (; columns > 0; columns--) {
    const uint32_t a = *(const eag_word *)(const void *)above.at;
    const uint32_t b = *(const eag_word *)(const void *)below.at;
    above.at += above.step;
    below.at += below.step;
    const uint32_t a02 = eag_sxtb16(a), a13 = eag_sxtb16_ror8(a);
    const uint32_t b02 = eag_sxtb16(b), b13 = eag_sxtb16_ror8(b);
    to[0] = eag_pkhbt16(a02, b02);
    to[1] = eag_pkhbt16(a13, b13);
    to[2] = eag_pkhtb16(a02, b02);
    to[3] = eag_pkhtb16(a13, b13);
    to += to_step;
  }
}

/* The image's row y of the group at `in`, or one that is all padding. */
static quad_row image_row(const struct eag_depthwise_conv_3x3_dsp_params *p, const int8_t *in,
                          int32_t y, const uint32_t *padding) {
  quad_row row = {(const int8_t *)padding, 0};
  if ((uint32_t)y < p->in_h) {
    row.at = in + y * p->in_w * p->channels;
    row.step = p->channels;
  }
  return row;
}

/* One channel of one output row. w: three words for the first pair of rows, three for the second,
 * each 4 apart; x: the first column. */
static EAG_NOINLINE void filter_row(const struct eag_depthwise_conv_3x3_dsp_params *p,
                                    const uint32_t *x, const uint32_t *first,
                                    const uint32_t *second, uint32_t channel, int8_t *out) {
  const uint32_t q = p->per_channel ? channel : 0;
  const int32_t bias = p->bias[channel];
  const int32_t doubled = p->doubled[q];
  const int32_t e = p->exponent[q];
  const int32_t rounding = eag_rounding_with_zero(p->out_zero, e);
  const uint32_t w0 = first[0], w1 = first[4], w2 = first[8];
  const uint32_t w3 = second[0], w4 = second[4], w5 = second[8];
  const uint32_t step = COLUMN_WORDS * p->stride_w;
  const uint32_t channels = p->channels;
  for (uint32_t left = p->out_w; left > 0; left--) {
    int32_t sum = bias;
    sum = eag_smlad(w0, x[0], sum);
    sum = eag_smlad(w3, x[4], sum);
    sum = eag_smlad(w1, x[8], sum);
    sum = eag_smlad(w4, x[12], sum);
    sum = eag_smlad(w2, x[16], sum);
    sum = eag_smlad(w5, x[20], sum);
    x += step;
    *out = (int8_t)eag_ssat8(eag_requantize_doubled(sum, doubled, rounding, e));
    out += channels;
  }
}

void eag_depthwise_conv_3x3_dsp(const struct eag_depthwise_conv_3x3_dsp_params *p,
                                const int8_t *in, int8_t *out, void *scratch) {
  const uint32_t channels = p->channels;
  uint32_t *weights = scratch;
  uint32_t *columns = weights + WEIGHT_WORDS;
  const uint32_t touched = touched_columns(p);
  const uint32_t zero = 0;
  const uint32_t padding = (uint32_t)(uint8_t)p->in_zero * 0x01010101u;
  const uint32_t inner = p->in_w < touched - p->pad_w ? p->in_w : touched - p->pad_w;

  /* Columns left and right of the image stay as they are for all rows and channels. */
  const quad_row outside = {(const int8_t *)&padding, 0};
  for (uint32_t half = 0; half < COLUMN_WORDS; half += 4) {
    widen_pair(columns + half, COLUMN_WORDS, outside, outside, touched);
  }
  for (uint32_t c = 0; c < channels; c += GROUP) {
    const int8_t *group = in + c;
    const quad_row none = {(const int8_t *)&zero, 0};
    const quad_row w0 = {p->weights + c, channels};
    const quad_row w1 = {w0.at + 3 * channels, channels};
    const quad_row w2 = {w1.at + 3 * channels, channels};
    /* The next output row's first pair of rows is this one's second: rows (1, 2) of the window
     * where the stride is 1, and then row 2 is below; rows (2, 3) where it is 2. */
    widen_pair(weights, 4, w0, w1, 3);
    widen_pair(weights + 12, 4, p->stride_h == 1 ? none : w2, p->stride_h == 1 ? w2 : none, 3);
    int32_t y = -(int32_t)p->pad_h;
    uint32_t half = 0;
    uint32_t *image = columns + p->pad_w * COLUMN_WORDS;
    widen_pair(image, COLUMN_WORDS, image_row(p, group, y, &padding),
               image_row(p, group, y + 1, &padding), inner);
    for (uint32_t row = 0; row < p->out_h; row++) {
      y += p->stride_h;
      half ^= 4;
      widen_pair(image + half, COLUMN_WORDS, image_row(p, group, y, &padding),
                 image_row(p, group, y + 1, &padding), inner);
      /* Even rows have their first pair in the first half of the columns, odd rows in the second. */
      const uint32_t *first = weights + (half ? 0 : 12);
      const uint32_t *second = weights + (half ? 12 : 0);
      int8_t *to = out + row * p->out_w * channels + c;
      for (uint32_t i = 0; i < GROUP; i++) {
        filter_row(p, columns + i, first + i, second + i, c + i, to + i);
      }
    }
  }
  eag_clamp_range(out, (uint32_t)p->out_h * p->out_w * channels, p->act_min, p->act_max);
}
