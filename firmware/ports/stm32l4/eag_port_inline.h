#ifndef EAG_PORT_INLINE_H
#define EAG_PORT_INLINE_H

/* DWT_CYCCNT (ARMv7-M C1.8.8). */
static inline uint32_t eag_port_cycles32(void) { return *(volatile uint32_t *)0xE0001004; }

#endif
