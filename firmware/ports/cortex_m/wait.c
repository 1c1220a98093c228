#include "cortex_m.h"
#include "eag_early.h"

EAG_EARLY bool wait_for(reg *at, uint32_t mask, uint32_t value) {
  for (uint32_t left = 1u << 16; left; left--) {
    if ((*at & mask) == value) return true;
    /* About a hundred cycles, so that a status register is not all that the bus is busy with. */
    for (uint32_t pause = 32; pause; pause--) __asm__ volatile("");
  }
  return false;
}
