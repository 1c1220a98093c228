/* Which input rows and columns one pooling window covers. */
#ifndef EAG_POOL_WINDOW_H
#define EAG_POOL_WINDOW_H

#include <stdint.h>

struct eag_span {
  int32_t first, count;
};

/* The part of a window of `filter` elements for output `position` that lies inside 0..size-1. */
static inline struct eag_span eag_window(int32_t position, int32_t stride, int32_t pad,
                                         int32_t filter, int32_t size) {
  int32_t first = position * stride - pad;
  int32_t end = first + filter;
  struct eag_span span;
  span.first = first < 0 ? 0 : first;
  span.count = (end > size ? size : end) - span.first;
  return span;
}

#endif
