/* Which taps of a convolution's window lie inside the image. */
#ifndef EAG_TAPS_H
#define EAG_TAPS_H

#include <stdint.h>

struct eag_taps {
  int32_t first, end; /* first inside, first past it; first >= end where none is */
};

/* Along one dimension: tap k of a window that starts at `start` reads start + k * dilation, which is
 * inside where it is 0 to size - 1. */
static inline struct eag_taps eag_taps_inside(int32_t start, int32_t taps, int32_t dilation,
                                              int32_t size) {
  struct eag_taps inside;
  int32_t rest = size - start; /* positions from the window's start to the image's end */
  inside.first = start < 0 ? (dilation - 1 - start) / dilation : 0;
  inside.end = rest > 0 ? (rest + dilation - 1) / dilation : 0;
  if (inside.end > taps) inside.end = taps;
  return inside;
}

#endif
