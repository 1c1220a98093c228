#include "eag_depthwise_conv_3x3_dsp.h"

#include <stddef.h>

#include "eag_clamp_range.h"
#include "eag_dsp.h"
#include "eag_requant.h"

enum {
  GROUP = 4,           /* channels widened at a time: a word of int8 */
  CONSTANT_WORDS = 12, /* channel_constants */
  COLUMN_WORDS = 8,    /* a column: of four channels a word for each of two pairs of rows */
  WEIGHT_WORDS = 24    /* three columns of weights */
};

static uint32_t touched_columns(const struct eag_depthwise_conv_3x3_dsp_params *p) {
  return (p->out_w - 1u) * p->stride_w + 3u;
}

uint32_t eag_depthwise_conv_3x3_dsp_scratch_bytes(
    const struct eag_depthwise_conv_3x3_dsp_params *p) {
  return 4u * (GROUP * CONSTANT_WORDS + WEIGHT_WORDS + COLUMN_WORDS * touched_columns(p));
}

/* A row of four channels: its words lie `step` bytes apart, or are all one word (step 0). */
typedef struct {
  const int8_t *at;
  uint32_t step;
} quad_row;

/* Every other word of columns: (above, below) of each of the four channels. */
static EAG_NOINLINE void widen_pair(uint32_t *to, quad_row above, quad_row below,
                                    uint32_t columns) {
  for (; columns > 0; columns--) {
    const uint32_t a = *(const eag_word *)(const void *)above.at;
    const uint32_t b = *(const eag_word *)(const void *)below.at;
    above.at += above.step;
    below.at += below.step;
    const uint32_t a02 = eag_sxtb16(a), a13 = eag_sxtb16_ror8(a);
    const uint32_t b02 = eag_sxtb16(b), b13 = eag_sxtb16_ror8(b);
    to[0] = eag_pkhbt16(a02, b02);
    to[2] = eag_pkhbt16(a13, b13);
    to[4] = eag_pkhtb16(a02, b02);
    to[6] = eag_pkhtb16(a13, b13);
    to += COLUMN_WORDS;
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

/* What one channel needs for all of its rows. The assembly below knows the offsets. */
typedef struct {
  uint32_t w[2][3]; /* three columns for each pair of rows */
  int32_t bias, doubled, rounding, exponent;
  uint32_t channels; /* bytes from one output to the next */
  uint32_t end;      /* address of the column where the pairs of outputs end */
} channel_constants;

static void fill_constants(const struct eag_depthwise_conv_3x3_dsp_params *p,
                           const uint32_t *weights, const uint32_t *columns, uint32_t channel,
                           channel_constants *k) {
  const uint32_t q = p->per_channel ? channel : 0;
  for (uint32_t i = 0; i < 3; i++) {
    k->w[0][i] = weights[COLUMN_WORDS * i];
    k->w[1][i] = weights[COLUMN_WORDS * i + 1];
  }
  k->bias = p->bias[channel];
  k->doubled = p->doubled[q];
  k->exponent = p->exponent[q];
  k->rounding = eag_rounding_with_zero(p->out_zero, k->exponent);
  k->channels = p->channels;
  k->end = (uint32_t)(uintptr_t)(columns + p->out_w / 2u * 2u * p->stride_w * COLUMN_WORDS);
}

typedef struct {
  uint32_t first0, first1, first2, second0, second1, second2;
} six_weights;

/* Without optimization a frame pointer takes one register too many for the assembly. */
#if defined(EAG_DSP_ARM) && defined(__OPTIMIZE__)
#define SCHEDULED 1

/* Pairs of outputs from column x to k->end, `step` bytes (a literal) of columns apart. Ordered for dual issue: a
 * load beside each SMLAD, and two outputs at once to hide the latency of requantization. */
#define FILTER_PAIRS(name, step)                                                                   \
EAG_INLINE int8_t *name(const channel_constants *k, const six_weights *w, const uint32_t *x,       \
                        int8_t *out) {                                                             \
  uint32_t s0, s1, a, b;                                                                           \
  __asm__ volatile(                                                                                \
      "1:\n"                                                                                       \
      "ldr %[a], [%[x]]\n"                                                                         \
      "ldr %[b], [%[x], #4]\n"                                                                     \
      "ldr %[s0], [%[k], %[bias]]\n"                                                               \
      "mov %[s1], %[s0]\n"                                                                         \
      "smlad %[s0], %[w0], %[a], %[s0]\n"                                                          \
      "ldr %[a], [%[x], #32]\n"                                                                    \
      "smlad %[s0], %[w3], %[b], %[s0]\n"                                                          \
      "ldr %[b], [%[x], #36]\n"                                                                    \
      "smlad %[s0], %[w1], %[a], %[s0]\n"                                                          \
      "ldr %[a], [%[x], #64]\n"                                                                    \
      "smlad %[s0], %[w4], %[b], %[s0]\n"                                                          \
      "ldr %[b], [%[x], #68]\n"                                                                    \
      "smlad %[s0], %[w2], %[a], %[s0]\n"                                                          \
      "ldr %[a], [%[x], #" step "]\n"                                                              \
      "smlad %[s0], %[w5], %[b], %[s0]\n"                                                          \
      "ldr %[b], [%[x], #" step " + 4]\n"                                                          \
      "smlad %[s1], %[w0], %[a], %[s1]\n"                                                          \
      "ldr %[a], [%[x], #" step " + 32]\n"                                                         \
      "smlad %[s1], %[w3], %[b], %[s1]\n"                                                          \
      "ldr %[b], [%[x], #" step " + 36]\n"                                                         \
      "smlad %[s1], %[w1], %[a], %[s1]\n"                                                          \
      "ldr %[a], [%[x], #" step " + 64]\n"                                                         \
      "smlad %[s1], %[w4], %[b], %[s1]\n"                                                          \
      "ldr %[b], [%[x], #" step " + 68]\n"                                                         \
      "smlad %[s1], %[w2], %[a], %[s1]\n"                                                          \
      "ldr %[a], [%[k], %[doubled]]\n"                                                             \
      "smlad %[s1], %[w5], %[b], %[s1]\n"                                                          \
      "ldr %[b], [%[k], %[rounding]]\n"                                                            \
      "smmlar %[s0], %[s0], %[a], %[s0]\n"                                                         \
      "add %[x], %[x], #" step " * 2\n"                                                            \
      "smmlar %[s1], %[s1], %[a], %[s1]\n"                                                         \
      "ldr %[a], [%[k], %[exponent]]\n"                                                            \
      "add %[s0], %[s0], %[s0], asr #31\n"                                                         \
      "add %[s0], %[s0], %[b]\n"                                                                   \
      "add %[s1], %[s1], %[s1], asr #31\n"                                                         \
      "asr %[s0], %[s0], %[a]\n"                                                                   \
      "add %[s1], %[s1], %[b]\n"                                                                   \
      "ldr %[b], [%[k], %[end]]\n"                                                                 \
      "ssat %[s0], #8, %[s0]\n"                                                                    \
      "asr %[s1], %[s1], %[a]\n"                                                                   \
      "ldr %[a], [%[k], %[channels]]\n"                                                            \
      "ssat %[s1], #8, %[s1]\n"                                                                    \
      "strb %[s0], [%[out]]\n"                                                                     \
      "strb %[s1], [%[out], %[a]]\n"                                                               \
      "cmp %[x], %[b]\n"                                                                           \
      "add %[out], %[out], %[a], lsl #1\n"                                                         \
      "bne 1b\n"                                                                                   \
      : [x] "+&r"(x), [out] "+&r"(out), [s0] "=&r"(s0), [s1] "=&r"(s1), [a] "=&r"(a), [b] "=&r"(b) \
      : [k] "r"(k), [w0] "r"(w->first0), [w1] "r"(w->first1), [w2] "r"(w->first2),                 \
        [w3] "r"(w->second0), [w4] "r"(w->second1), [w5] "r"(w->second2),                          \
        [bias] "i"(offsetof(channel_constants, bias)),                                             \
        [doubled] "i"(offsetof(channel_constants, doubled)),                                       \
        [rounding] "i"(offsetof(channel_constants, rounding)),                                     \
        [exponent] "i"(offsetof(channel_constants, exponent)),                                     \
        [channels] "i"(offsetof(channel_constants, channels)),                                     \
        [end] "i"(offsetof(channel_constants, end))                                                \
      : "cc", "memory");                                                                           \
  return out;                                                                                      \
}

FILTER_PAIRS(filter_pairs_stride_1, "32") /* 4 * COLUMN_WORDS */
FILTER_PAIRS(filter_pairs_stride_2, "64")
#endif

/* One channel of one output row. x: the first column; odd: the first pair of rows is the second in
 * the columns. */
static EAG_NOINLINE void filter_row(const struct eag_depthwise_conv_3x3_dsp_params *p,
                                    const channel_constants *k, const uint32_t *x, uint32_t odd,
                                    int8_t *out) {
  const uint32_t *first = k->w[odd], *second = k->w[odd ^ 1];
  const six_weights w = {first[0], first[1], first[2], second[0], second[1], second[2]};
  uint32_t left = p->out_w;
#ifdef SCHEDULED
  if (left >= 2 && p->stride_w <= 2) {
    if (p->stride_w == 1) {
      out = filter_pairs_stride_1(k, &w, x, out);
    } else {
      out = filter_pairs_stride_2(k, &w, x, out);
    }
    x = (const uint32_t *)k->end;
    left &= 1;
  }
#endif
  for (; left > 0; left--) {
    int32_t sum = eag_smlad(w.first0, x[0], k->bias);
    sum = eag_smlad(w.second0, x[1], sum);
    sum = eag_smlad(w.first1, x[8], sum);
    sum = eag_smlad(w.second1, x[9], sum);
    sum = eag_smlad(w.first2, x[16], sum);
    sum = eag_smlad(w.second2, x[17], sum);
    x += COLUMN_WORDS * p->stride_w;
    *out = (int8_t)eag_ssat8(eag_requantize_doubled(sum, k->doubled, k->rounding, k->exponent));
    out += k->channels;
  }
}

void eag_depthwise_conv_3x3_dsp(const struct eag_depthwise_conv_3x3_dsp_params *p,
                                const int8_t *in, int8_t *out, void *scratch) {
  const uint32_t channels = p->channels;
  channel_constants *constants = scratch;
  uint32_t *weights = (uint32_t *)(constants + GROUP);
  uint32_t *columns = weights + WEIGHT_WORDS;
  const uint32_t touched = touched_columns(p);
  const uint32_t zero = 0;
  const uint32_t padding = (uint32_t)(uint8_t)p->in_zero * 0x01010101u;
  const uint32_t inner = p->in_w < touched - p->pad_w ? p->in_w : touched - p->pad_w;

  /* Columns left and right of the image stay as they are for all rows and channels. */
  const quad_row outside = {(const int8_t *)&padding, 0};
  for (uint32_t half = 0; half < 2; half++) {
    widen_pair(columns + half, outside, outside, touched);
  }
  for (uint32_t c = 0; c < channels; c += GROUP) {
    const int8_t *group = in + c;
    const quad_row none = {(const int8_t *)&zero, 0};
    const quad_row w0 = {p->weights + c, channels};
    const quad_row w1 = {w0.at + 3 * channels, channels};
    const quad_row w2 = {w1.at + 3 * channels, channels};
    /* The next output row's first pair of rows is this one's second: rows (1, 2) of the window
     * where the stride is 1, and then row 2 is below; rows (2, 3) where it is 2. */
    widen_pair(weights, w0, w1, 3);
    widen_pair(weights + 1, p->stride_h == 1 ? none : w2, p->stride_h == 1 ? w2 : none, 3);
    for (uint32_t i = 0; i < GROUP; i++) {
      fill_constants(p, weights + 2 * i, columns + 2 * i, c + i, &constants[i]);
    }
    int32_t y = -(int32_t)p->pad_h;
    uint32_t half = 0;
    uint32_t *image = columns + p->pad_w * COLUMN_WORDS;
    widen_pair(image, image_row(p, group, y, &padding),
               image_row(p, group, y + 1, &padding), inner);
    for (uint32_t row = 0; row < p->out_h; row++) {
      y += p->stride_h;
      half ^= 1;
      widen_pair(image + half, image_row(p, group, y, &padding),
                 image_row(p, group, y + 1, &padding), inner);
      /* Even rows have their first pair in the first half of the columns, odd rows in the second. */
      int8_t *to = out + row * p->out_w * channels + c;
      for (uint32_t i = 0; i < GROUP; i++) {
        filter_row(p, &constants[i], columns + 2 * i, row & 1, to + i);
      }
    }
  }
  eag_clamp_range(out, (uint32_t)p->out_h * p->out_w * channels, p->act_min, p->act_max);
}
