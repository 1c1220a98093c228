#include "cortex_m.h"
#include "eag_early.h"

static volatile uint32_t wraps;

EAG_EARLY void systick_start(void) {
  SYSTICK->RVR = SYSTICK_LARGEST;
  SYSTICK->CVR = 0;
  SYSTICK->CSR = SYSTICK_CSR_ENABLE | SYSTICK_CSR_TICKINT | SYSTICK_CSR_CLKSOURCE;
}

void systick_handler(void) {
  wraps++;
  handler_end();
}

uint64_t systick_cycles(void) {
  /* The counter runs down from 2^24 and its interrupt is pending from the moment it reaches 0. */
  uint32_t high, low, waiting;
  do {
    high = wraps;
    low = -SYSTICK->CVR & SYSTICK_LARGEST;
    waiting = SCB->ICSR & SCB_ICSR_PENDSTSET;
  } while (high != wraps);
  /* The interrupt of the latest wrap may still be waiting: in a handler, or for the instant that
   * the core needs to take it. Looked at before the count is, so that it cannot be taken between. */
  if (low < 0x10000 && waiting) high++;
  return (uint64_t)high << 24 | low;
}

void dwt_start(void) {
  DEMCR |= DEMCR_TRCENA;
  DWT_CYCCNT = 0;
  DWT_CTRL |= 1;
}
