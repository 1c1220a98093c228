/* What the depthwise kernels of int16 activations have in common: sums of a window's products. */
#ifndef EAG_DEPTHWISE_S16_H
#define EAG_DEPTHWISE_S16_H

#include "eag_dsp.h"
#include "eag_taps.h"

/* The taps of a window that lie inside the image: where the first of them is, and where the next. */
struct eag_window {
  const int16_t *pixel;
  const int8_t *weight;
  int32_t rows, columns;
  int32_t right, down;          /* elements from a tap's input to the next column's and row's */
  int32_t tap_right, tap_down; /* weights likewise */
};

/* Sums of four neighbouring channels, the first of them `c`. */
EAG_INLINE void eag_four_sums(struct eag_window t, int32_t c, int32_t *sums) {
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
EAG_INLINE int32_t eag_one_sum(struct eag_window t, int32_t c, int32_t o) {
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

#endif
