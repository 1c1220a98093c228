/* Pooling element by element, for any core.
 *
 * A template: who includes it defines EAG_ELEMENT, its lowest value EAG_LOWEST, and the names of
 * the two functions, EAG_AVERAGE_POOL and EAG_MAX_POOL. */
#ifndef EAG_POOL_PLAIN_H
#define EAG_POOL_PLAIN_H

#include "eag_pool.h"
#include "eag_pool_window.h"
#include "eag_requant.h"

void EAG_AVERAGE_POOL(const struct eag_pool_params *p, const void *in, void *out, void *scratch) {
  const EAG_ELEMENT *input = in;
  EAG_ELEMENT *result = out;
  (void)scratch;
  for (int32_t oy = 0; oy < p->out_h; ++oy) {
    struct eag_span y = eag_window(oy, p->stride_h, p->pad_h, p->filter_h, p->in_h);
    for (int32_t ox = 0; ox < p->out_w; ++ox) {
      struct eag_span x = eag_window(ox, p->stride_w, p->pad_w, p->filter_w, p->in_w);
      int32_t count = y.count * x.count;
      const EAG_ELEMENT *corner = input + (y.first * p->in_w + x.first) * p->channels;
      for (int32_t c = 0; c < p->channels; ++c) {
        int32_t sum = 0;
        const EAG_ELEMENT *row = corner + c;
        for (int32_t i = 0; i < y.count; ++i, row += p->in_w * p->channels) {
          const EAG_ELEMENT *at = row;
          for (int32_t j = 0; j < x.count; ++j, at += p->channels) sum += *at;
        }
        sum = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
        *result++ = (EAG_ELEMENT)eag_clamp(sum, p->min, p->max);
      }
    }
  }
}

void EAG_MAX_POOL(const struct eag_pool_params *p, const void *in, void *out, void *scratch) {
  const EAG_ELEMENT *input = in;
  EAG_ELEMENT *result = out;
  (void)scratch;
  for (int32_t oy = 0; oy < p->out_h; ++oy) {
    struct eag_span y = eag_window(oy, p->stride_h, p->pad_h, p->filter_h, p->in_h);
    for (int32_t ox = 0; ox < p->out_w; ++ox) {
      struct eag_span x = eag_window(ox, p->stride_w, p->pad_w, p->filter_w, p->in_w);
      const EAG_ELEMENT *corner = input + (y.first * p->in_w + x.first) * p->channels;
      for (int32_t c = 0; c < p->channels; ++c) {
        int32_t best = EAG_LOWEST;
        const EAG_ELEMENT *row = corner + c;
        for (int32_t i = 0; i < y.count; ++i, row += p->in_w * p->channels) {
          const EAG_ELEMENT *at = row;
          for (int32_t j = 0; j < x.count; ++j, at += p->channels) best = *at > best ? *at : best;
        }
        *result++ = (EAG_ELEMENT)eag_clamp(best, p->min, p->max);
      }
    }
  }
}

#endif
