#include "eag_dsp.h"
#include "eag_pool.h"
#include "eag_pool_window.h"
#include "eag_requant.h"

/* One output channel from its sum, rounded half away from zero. */
EAG_INLINE uint32_t mean(int32_t sum, int32_t count, const struct eag_pool_params *p) {
  sum = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
  return (uint32_t)eag_clamp(sum, p->min, p->max);
}

#define LOW(pair) ((int32_t)((pair) << 16) >> 16)
#define HIGH(pair) ((int32_t)(pair) >> 16)

void eag_average_pool_s8_dsp(const struct eag_pool_params *p, const void *in, void *out,
                             void *scratch) {
  const int8_t *input = in;
  int8_t *result = out;
  const int32_t channels = p->channels;
  (void)scratch;
  for (int32_t oy = 0; oy < p->out_h; ++oy) {
    struct eag_span y = eag_window(oy, p->stride_h, p->pad_h, p->filter_h, p->in_h);
    for (int32_t ox = 0; ox < p->out_w; ++ox) {
      struct eag_span x = eag_window(ox, p->stride_w, p->pad_w, p->filter_w, p->in_w);
      const int8_t *corner = input + (y.first * p->in_w + x.first) * channels;
      const int32_t count = y.count * x.count;
      for (int32_t c = 0; c < channels; c += 4) {
        /* The last block of a channel count that 4 does not divide overlaps the one before. */
        if (c > channels - 4) c = channels - 4;
        const int8_t *row = corner + c;
        uint32_t even = 0, odd = 0;
        for (int32_t i = y.count; i > 0; --i, row += p->in_w * channels) {
          const int8_t *at = row;
          for (int32_t j = x.count; j > 0; --j, at += channels) {
            uint32_t quad = eag_load32(at);
            even = eag_sxtab16(even, quad);
            odd = eag_sxtab16_ror8(odd, quad);
          }
        }
        eag_store32(result + c, eag_pack_s8(mean(LOW(even), count, p), mean(LOW(odd), count, p),
                                            mean(HIGH(even), count, p), mean(HIGH(odd), count, p)));
      }
      result += channels;
    }
  }
}
