/* Weights of four bits, two in a byte, the first in the low half, as .tflite files hold them. */
#ifndef EAG_INT4_H
#define EAG_INT4_H

#include <stdint.h>

#include "eag_dsp.h"

EAG_INLINE int32_t eag_int4_low(int32_t byte) { return ((byte & 15) ^ 8) - 8; }
EAG_INLINE int32_t eag_int4_high(int32_t byte) { return ((byte >> 4 & 15) ^ 8) - 8; }

/* `count` weights from (count + 1) / 2 bytes. */
static inline void eag_int4_unpack(int8_t *to, const int8_t *packed, uint32_t count) {
  for (; count > 1; count -= 2, to += 2) {
    const int32_t byte = *packed++;
    to[0] = (int8_t)eag_int4_low(byte);
    to[1] = (int8_t)eag_int4_high(byte);
  }
  if (count) *to = (int8_t)eag_int4_low(*packed);
}

#endif
