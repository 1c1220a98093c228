/* Between this port's own files. */
#ifndef EAG_MPS_PORT_H
#define EAG_MPS_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "core.h"
#include "eag_board.h"
#include "mps.h"

/* The counter's ticks, upward, modulo 2^32: EAG_CLOCK_HZ a second. */
static inline uint32_t ticks(void) { return COUNTER_DOWN ? -COUNTER : COUNTER; }

/* Masks interrupts; gives what `unmask` needs to leave it as it was. */
static inline uint32_t mask(void) {
  uint32_t before;
  __asm__ volatile("mrs %0, primask\n  cpsid i" : "=r"(before)::"memory");
  return before;
}
static inline void unmask(uint32_t before) {
  __asm__ volatile("msr primask, %0" ::"r"(before) : "memory");
}

void counting_init(void);
void console_init(void);

/* Handlers as the vector table has them: their instructions are left out of what is counted. */
void tick_handler(void);
void receive_handler(void);
void transmit_handler(void);

/* Their bodies. */
void on_tick(void);
void on_receive(void);
void on_transmit(void);

void boot_note_fault(void);

#endif
