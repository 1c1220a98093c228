#include "eag_dsp.h"
#include "eag_pool.h"
#include "eag_pool_window.h"

void eag_max_pool_s8_dsp(const struct eag_pool_params *p, const void *in, void *out,
                         void *scratch) {
  const int8_t *input = in;
  int8_t *result = out;
  const int32_t channels = p->channels;
  const uint32_t least = 0x01010101u * (uint8_t)p->min;
  const uint32_t most = 0x01010101u * (uint8_t)p->max;
  (void)scratch;
  for (int32_t oy = 0; oy < p->out_h; ++oy) {
    struct eag_span y = eag_window(oy, p->stride_h, p->pad_h, p->filter_h, p->in_h);
    for (int32_t ox = 0; ox < p->out_w; ++ox) {
      struct eag_span x = eag_window(ox, p->stride_w, p->pad_w, p->filter_w, p->in_w);
      const int8_t *corner = input + (y.first * p->in_w + x.first) * channels;
      for (int32_t c = 0; c < channels; c += 4) {
        /* The last block of a channel count that 4 does not divide overlaps the one before. */
        if (c > channels - 4) c = channels - 4;
        const int8_t *row = corner + c;
        uint32_t best = least;
        for (int32_t i = y.count; i > 0; --i, row += p->in_w * channels) {
          const int8_t *at = row;
          for (int32_t j = x.count; j > 0; --j, at += channels) {
            best = eag_max_s8x4(best, eag_load32(at));
          }
        }
        eag_store32(result + c, eag_min_s8x4(best, most));
      }
      result += channels;
    }
  }
}
