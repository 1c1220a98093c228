/* Between this port's own files, and to the shared ones. */
#ifndef EAG_MPS_PORT_H
#define EAG_MPS_PORT_H

#include "cortex_m.h"
#include "eag_board.h"
#include "mps.h"

/* A range that would be empty is none: the AN500's UART has the first two interrupts. */
#if UART0_RX_IRQ > 0
#define UNUSED_INTERRUPTS [16 ... 16 + UART0_RX_IRQ - 1] = fault,
#else
#define UNUSED_INTERRUPTS
#endif
#define PORT_INTERRUPTS                                   \
  UNUSED_INTERRUPTS [16 + UART0_RX_IRQ] = receive_handler, \
                    [16 + UART0_TX_IRQ] = transmit_handler
#define PORT_SYSTICK tick_handler

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

/* Handlers as the vector table has them: their instructions are left out of what is counted. */
void tick_handler(void);
void receive_handler(void);
void transmit_handler(void);

/* Their bodies. */
void on_tick(void);
void on_receive(void);
void on_transmit(void);

#endif
