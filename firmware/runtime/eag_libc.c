/* What compilers expect to find even without a C library: they turn loops and structure copies
 * into calls of these. Compiled with built-ins off, so that none of them becomes a call of itself.
 *
 * Single words are loaded from any address (ARMv7-M allows it for LDR and STR, and the compiler
 * knows cores that do not); the wide loop, which may become LDM/STM or LDRD/STRD, runs on aligned
 * pointers only. On a host this file is empty.
 */
#include "eag_libc.h"

#include <stdint.h>

#if !__STDC_HOSTED__

typedef struct {
  uint32_t value;
} __attribute__((packed, may_alias)) any_word;

typedef uint32_t __attribute__((may_alias)) word;

/* From the low end up; the blocks may overlap where `to` lies below `from`, since every word is
 * loaded before a store can reach it. */
static void copy_up(uint8_t *d, const uint8_t *s, size_t count) {
  if (count >= 8) {
    for (; (uintptr_t)d & 3; count--) *d++ = *s++;
    if (((uintptr_t)s & 3) == 0) {
      for (; count >= 16; count -= 16, d += 16, s += 16) {
        word a = ((const word *)s)[0], b = ((const word *)s)[1];
        word c = ((const word *)s)[2], e = ((const word *)s)[3];
        ((word *)d)[0] = a;
        ((word *)d)[1] = b;
        ((word *)d)[2] = c;
        ((word *)d)[3] = e;
      }
    }
    for (; count >= 4; count -= 4, d += 4, s += 4) *(word *)d = ((const any_word *)s)->value;
  }
  while (count--) *d++ = *s++;
}

void *memcpy(void *restrict to, const void *restrict from, size_t count) {
  copy_up(to, from, count);
  return to;
}

void *memmove(void *to, const void *from, size_t count) {
  uint8_t *d = to;
  const uint8_t *s = from;
  if ((uintptr_t)d - (uintptr_t)s >= count) {
    copy_up(d, s, count);
    return to;
  }
  /* The destination starts inside the source. */
  for (d += count, s += count; count; count--) *--d = *--s;
  return to;
}

void *memset(void *to, int value, size_t count) {
  uint8_t *d = to;
  if (count >= 8) {
    uint32_t fill = (uint8_t)value * 0x01010101u;
    for (; (uintptr_t)d & 3; count--) *d++ = (uint8_t)value;
    for (; count >= 16; count -= 16, d += 16) {
      ((word *)d)[0] = fill;
      ((word *)d)[1] = fill;
      ((word *)d)[2] = fill;
      ((word *)d)[3] = fill;
    }
    for (; count >= 4; count -= 4, d += 4) *(word *)d = fill;
  }
  while (count--) *d++ = (uint8_t)value;
  return to;
}

int memcmp(const void *left, const void *right, size_t count) {
  const uint8_t *a = left, *b = right;
  for (; count; count--, a++, b++)
    if (*a != *b) return *a - *b;
  return 0;
}

#ifdef __arm__
/* The names that the run-time ABI for Arm gives to the same; clang calls these. The 4 and 8 say
 * what the caller knows of the alignment.
 */
#define EAG_AEABI(name, parameters, call)                                    \
  void __aeabi_##name parameters;                                           \
  void __aeabi_##name parameters { call; }                                  \
  void __aeabi_##name##4 parameters __attribute__((alias("__aeabi_" #name))); \
  void __aeabi_##name##8 parameters __attribute__((alias("__aeabi_" #name)));

EAG_AEABI(memcpy, (void *to, const void *from, size_t count), memcpy(to, from, count))
EAG_AEABI(memmove, (void *to, const void *from, size_t count), memmove(to, from, count))
EAG_AEABI(memset, (void *to, size_t count, int value), memset(to, value, count))
EAG_AEABI(memclr, (void *to, size_t count), memset(to, 0, count))
#endif

#endif
