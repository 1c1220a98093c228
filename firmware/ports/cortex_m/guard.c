#include "cortex_m.h"
#include "eag_board.h"
#include "eag_port.h"

void guard_stack(void) {
#if __ARM_ARCH >= 8
  /* The core itself compares the stack pointer with a limit. */
  __asm__ volatile("msr msplim, %0" ::"r"(eag_stack_limit));
#elif EAG_MPU_REGIONS
  /* No access, for anyone, to the 32 bytes under the stack; everywhere else the default map. */
  MPU->CTRL = 0;
  MPU->RBAR = ((uint32_t)eag_stack_limit - 32) | MPU_RBAR_VALID | 0;
  MPU->RASR = MPU_RASR_XN | MPU_RASR_SIZE_32 | MPU_RASR_ENABLE;
  MPU->CTRL = MPU_CTRL_PRIVDEFENA | MPU_CTRL_ENABLE;
#endif
  barrier();
}
