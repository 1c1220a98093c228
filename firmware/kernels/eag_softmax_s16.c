#include "eag_requant.h"
#include "eag_softmax.h"

/* A table of 513 over the int16 range: 9 bits choose the entry, 7 interpolate. */
EAG_INLINE int32_t interpolate(const int16_t *table, int32_t x) {
  const int16_t *entry = table + 256 + (x >> 7);
  int32_t slope = entry[1] - entry[0];
  return entry[0] + ((slope * (x & 127) + 64) >> 7);
}

EAG_INLINE int32_t saturate(int32_t x) { return eag_clamp(x, -32768, 32767); }

void eag_softmax_s16(const struct eag_softmax_s16_params *p, const void *in, void *out,
                     void *scratch) {
  const int16_t *row = in;
  int16_t *result = out;
  (void)scratch;
  for (int32_t r = 0; r < p->rows; ++r, row += p->depth, result += p->depth) {
    int32_t max = -32768;
    for (int32_t i = 0; i < p->depth; ++i) max = row[i] > max ? row[i] : max;
    int32_t sum = 0; /* Q16.15 */
    for (int32_t i = 0; i < p->depth; ++i) {
      int32_t difference = eag_requantize(row[i] - max, p->multiplier, p->shift);
      int32_t exponential = interpolate(p->exp_table, saturate(difference + 32767));
      result[i] = (int16_t)exponential;
      sum += exponential;
    }
    /* The sum as (1 + x) * 2^n, x in Q0.16 and moved to the table's range. */
    int32_t headroom = __builtin_clz((uint32_t)sum);
    int32_t mantissa = (int32_t)((((int64_t)sum << (headroom - 1)) + (1 << 13)) >> 14);
    int32_t scale = interpolate(p->reciprocal_table, saturate(mantissa - (1 << 16) - (1 << 15)));
    int32_t right = 31 - headroom;
    for (int32_t i = 0; i < p->depth; ++i) {
      int32_t share = (int32_t)(((int64_t)result[i] * scale + (1 << (right - 1))) >> right);
      result[i] = (int16_t)eag_clamp(share, 0, 32767);
    }
  }
}
