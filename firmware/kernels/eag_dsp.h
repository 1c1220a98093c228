/* The Armv7E-M / Armv8-M DSP instructions that kernels use, one function each.
 *
 * On a core that has them (Cortex-M4, M7, M33 with DSP) each is one instruction. Anywhere else each
 * is its exact emulation in C, so that a DSP kernel computes the same bits on the host, where most
 * of the tests run.
 *
 * A "pair" is a word of two int16 lanes, low lane first; a "quad" is a word of four int8, low byte
 * first (little-endian memory order).
 */
#ifndef EAG_DSP_H
#define EAG_DSP_H

#include <stdint.h>

/* A word that may lie over bytes of any type. */
#if defined(__GNUC__)
typedef uint32_t __attribute__((may_alias)) eag_word;
#define EAG_INLINE static inline __attribute__((always_inline))
#define EAG_NOINLINE __attribute__((noinline))
#else
typedef uint32_t eag_word;
#define EAG_INLINE static inline
#define EAG_NOINLINE
#endif

/* Four bytes from any address, in one LDR where the core allows unaligned words. */
EAG_INLINE uint32_t eag_load32(const void *from) {
  uint32_t word;
  __builtin_memcpy(&word, from, 4);
  return word;
}

EAG_INLINE void eag_store32(void *to, uint32_t word) { __builtin_memcpy(to, &word, 4); }

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'
#define EAG_DSP_ARM 1

/* acc + a.low * b.low + a.high * b.high, wrapping. */
EAG_INLINE int32_t eag_smlad(uint32_t a, uint32_t b, int32_t acc) {
  int32_t d;
  __asm__("smlad %0, %1, %2, %3" : "=r"(d) : "r"(a), "r"(b), "r"(acc));
  return d;
}
/* acc + a.low * b.low */
EAG_INLINE int32_t eag_smlabb(uint32_t a, uint32_t b, int32_t acc) {
  int32_t d;
  __asm__("smlabb %0, %1, %2, %3" : "=r"(d) : "r"(a), "r"(b), "r"(acc));
  return d;
}
/* acc + a.high * b.high */
EAG_INLINE int32_t eag_smlatt(uint32_t a, uint32_t b, int32_t acc) {
  int32_t d;
  __asm__("smlatt %0, %1, %2, %3" : "=r"(d) : "r"(a), "r"(b), "r"(acc));
  return d;
}
/* Bytes 0 and 2, sign-extended to a pair. */
EAG_INLINE uint32_t eag_sxtb16(uint32_t quad) {
  uint32_t d;
  __asm__("sxtb16 %0, %1" : "=r"(d) : "r"(quad));
  return d;
}
/* Bytes 1 and 3, sign-extended to a pair. */
EAG_INLINE uint32_t eag_sxtb16_ror8(uint32_t quad) {
  uint32_t d;
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(d) : "r"(quad));
  return d;
}
/* A pair plus bytes 0 and 2 of a quad, lane by lane, wrapping. */
EAG_INLINE uint32_t eag_sxtab16(uint32_t pair, uint32_t quad) {
  uint32_t d;
  __asm__("sxtab16 %0, %1, %2" : "=r"(d) : "r"(pair), "r"(quad));
  return d;
}
/* A pair plus bytes 1 and 3 of a quad, lane by lane, wrapping. */
EAG_INLINE uint32_t eag_sxtab16_ror8(uint32_t pair, uint32_t quad) {
  uint32_t d;
  __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(d) : "r"(pair), "r"(quad));
  return d;
}
/* (a.low, b.low) */
EAG_INLINE uint32_t eag_pkhbt16(uint32_t a, uint32_t b) {
  uint32_t d;
  __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(d) : "r"(a), "r"(b));
  return d;
}
/* (a.high, b.high) */
EAG_INLINE uint32_t eag_pkhtb16(uint32_t a, uint32_t b) {
  uint32_t d;
  __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(d) : "r"(b), "r"(a));
  return d;
}
/* (a * b + 2^31) >> 32 */
EAG_INLINE int32_t eag_smmulr(int32_t a, int32_t b) {
  int32_t d;
  __asm__("smmulr %0, %1, %2" : "=r"(d) : "r"(a), "r"(b));
  return d;
}
/* acc + ((a * b + 2^31) >> 32), wrapping. */
EAG_INLINE int32_t eag_smmlar(int32_t a, int32_t b, int32_t acc) {
  int32_t d;
  __asm__("smmlar %0, %1, %2, %3" : "=r"(d) : "r"(a), "r"(b), "r"(acc));
  return d;
}
/* Clamp to int8. */
EAG_INLINE int32_t eag_ssat8(int32_t a) {
  int32_t d;
  __asm__("ssat %0, #8, %1" : "=r"(d) : "r"(a) : "cc");
  return d;
}
/* a + (a < 0 ? -1 : 0): one instruction, which compilers rather split in two. */
EAG_INLINE int32_t eag_add_sign(int32_t a) {
  int32_t d;
  __asm__("add %0, %1, %1, asr #31" : "=r"(d) : "r"(a));
  return d;
}

/* The larger and the smaller of each pair of int8 lanes. Two instructions in one statement: the GE
 * flags must not be lost between them. */
EAG_INLINE uint32_t eag_max_s8x4(uint32_t a, uint32_t b) {
  uint32_t d;
  __asm__("ssub8 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(d) : "r"(a), "r"(b) : "cc");
  return d;
}
EAG_INLINE uint32_t eag_min_s8x4(uint32_t a, uint32_t b) {
  uint32_t d;
  __asm__("ssub8 %0, %1, %2\n\tsel %0, %2, %1" : "=&r"(d) : "r"(a), "r"(b) : "cc");
  return d;
}
/* A quad of the low bytes, which BFI puts together without masking them first. */
EAG_INLINE uint32_t eag_pack_s8(uint32_t b0, uint32_t b1, uint32_t b2, uint32_t b3) {
  __asm__("bfi %0, %1, #8, #8" : "+r"(b0) : "r"(b1));
  __asm__("bfi %0, %1, #16, #8" : "+r"(b0) : "r"(b2));
  __asm__("bfi %0, %1, #24, #8" : "+r"(b0) : "r"(b3));
  return b0;
}

/* Two words from *at, which moves past them: LDRD with write-back, which compilers do not make by
 * themselves. *at is at a multiple of 4; the words must not be written by the function that reads
 * them so. */
EAG_INLINE void eag_next_two(const eag_word **at, uint32_t *first, uint32_t *second) {
  typedef struct {
    uint32_t word[2];
  } __attribute__((may_alias)) two_words;
  uint32_t a, b;
  const eag_word *p = *at;
  /* The memory operand only says what is read; its address is the pointer's. */
  __asm__("ldrd %0, %1, [%2], #8"
          : "=&r"(a), "=&r"(b), "+r"(p)
          : "m"(*(const two_words *)(const void *)p));
  *at = p;
  *first = a;
  *second = b;
}

#else

EAG_INLINE int32_t eag_lane_low(uint32_t pair) { return (int16_t)(uint16_t)pair; }
EAG_INLINE int32_t eag_lane_high(uint32_t pair) { return (int16_t)(uint16_t)(pair >> 16); }
EAG_INLINE uint32_t eag_pair_of(int32_t low, int32_t high) {
  return (uint32_t)(uint16_t)low | (uint32_t)(uint16_t)high << 16;
}

EAG_INLINE int32_t eag_smlad(uint32_t a, uint32_t b, int32_t acc) {
  return (int32_t)((uint32_t)acc + (uint32_t)(eag_lane_low(a) * eag_lane_low(b)) +
                   (uint32_t)(eag_lane_high(a) * eag_lane_high(b)));
}
EAG_INLINE int32_t eag_smlabb(uint32_t a, uint32_t b, int32_t acc) {
  return (int32_t)((uint32_t)acc + (uint32_t)(eag_lane_low(a) * eag_lane_low(b)));
}
EAG_INLINE int32_t eag_smlatt(uint32_t a, uint32_t b, int32_t acc) {
  return (int32_t)((uint32_t)acc + (uint32_t)(eag_lane_high(a) * eag_lane_high(b)));
}
EAG_INLINE uint32_t eag_sxtb16(uint32_t quad) {
  return eag_pair_of((int8_t)(uint8_t)quad, (int8_t)(uint8_t)(quad >> 16));
}
EAG_INLINE uint32_t eag_sxtb16_ror8(uint32_t quad) {
  return eag_pair_of((int8_t)(uint8_t)(quad >> 8), (int8_t)(uint8_t)(quad >> 24));
}
EAG_INLINE uint32_t eag_sxtab16(uint32_t pair, uint32_t quad) {
  return eag_pair_of(eag_lane_low(pair) + (int8_t)(uint8_t)quad,
                     eag_lane_high(pair) + (int8_t)(uint8_t)(quad >> 16));
}
EAG_INLINE uint32_t eag_sxtab16_ror8(uint32_t pair, uint32_t quad) {
  return eag_sxtab16(pair, quad >> 8 | quad << 24);
}
EAG_INLINE uint32_t eag_pkhbt16(uint32_t a, uint32_t b) { return (a & 0xffffu) | b << 16; }
EAG_INLINE uint32_t eag_pkhtb16(uint32_t a, uint32_t b) { return a >> 16 | (b & 0xffff0000u); }
EAG_INLINE int32_t eag_smmulr(int32_t a, int32_t b) {
  return (int32_t)(((int64_t)a * b + ((int64_t)1 << 31)) >> 32);
}
EAG_INLINE int32_t eag_smmlar(int32_t a, int32_t b, int32_t acc) {
  return (int32_t)((uint32_t)acc + (uint32_t)eag_smmulr(a, b));
}
EAG_INLINE int32_t eag_ssat8(int32_t a) { return a < -128 ? -128 : a > 127 ? 127 : a; }
EAG_INLINE int32_t eag_add_sign(int32_t a) { return a - (a < 0); }
EAG_INLINE uint32_t eag_pack_s8(uint32_t b0, uint32_t b1, uint32_t b2, uint32_t b3) {
  return (b0 & 0xffu) | (b1 & 0xffu) << 8 | (b2 & 0xffu) << 16 | b3 << 24;
}
EAG_INLINE uint32_t eag_max_s8x4(uint32_t a, uint32_t b) {
  uint32_t d = 0;
  for (int lane = 0; lane < 32; lane += 8) {
    int8_t x = (int8_t)(uint8_t)(a >> lane), y = (int8_t)(uint8_t)(b >> lane);
    d |= (uint32_t)(uint8_t)(x > y ? x : y) << lane;
  }
  return d;
}
EAG_INLINE uint32_t eag_min_s8x4(uint32_t a, uint32_t b) {
  return ~eag_max_s8x4(~a, ~b);
}

EAG_INLINE void eag_next_two(const eag_word **at, uint32_t *first, uint32_t *second) {
  *first = (*at)[0];
  *second = (*at)[1];
  *at += 2;
}

#endif

#endif
