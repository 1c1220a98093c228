/* What counts time, by core, in this one place: a cycle counter where there is one that can be read
 * with no help from the framework, else micros(). Each is tried at init: one that stands still is
 * not taken for a clock (see port.cpp).
 */
#ifndef EAG_PORT_INLINE_H
#define EAG_PORT_INLINE_H

#include <stdbool.h>
#include <stdint.h>

/* Frameworks keep 64 bytes of a UART at least, and no more on many chips: so one request at a time,
 * which the board reads while it has nothing else to do. */
#define EAG_PORT_WINDOW 1

#ifdef __cplusplus
extern "C" {
#endif
extern bool eag_counts_cycles;
uint32_t eag_count32(void); /* ESP's cycles, or microseconds */
#ifdef __cplusplus
}
#endif

#define EAG_PORT_COUNTER (eag_counts_cycles ? EAG_COUNTER_CYCLES : EAG_COUNTER_MICROSECONDS)

#if defined(__ARM_ARCH_7M__) || defined(__ARM_ARCH_7EM__) || defined(__ARM_ARCH_8M_MAIN__)
/* DWT_CYCCNT (ARMv7-M C1.8.8). Cortex-M0+ has none. */
#define EAG_ARM_DWT 1
#define EAG_DWT_CYCCNT (*(volatile uint32_t *)0xE0001004)
static inline uint32_t eag_port_cycles32(void) {
  return eag_counts_cycles ? EAG_DWT_CYCCNT : eag_count32();
}
#else
static inline uint32_t eag_port_cycles32(void) { return eag_count32(); }
#endif

#endif
