#include "cortex_m.h"
#include "eag_port.h"

/* No access, for anyone, to the 32 bytes under the stack; everywhere else the default map. */
void guard_stack(void) {
  MPU->CTRL = 0;
  MPU->RBAR = ((uint32_t)eag_stack_limit - 32) | MPU_RBAR_VALID | 0;
  MPU->RASR = MPU_RASR_XN | MPU_RASR_SIZE_32 | MPU_RASR_ENABLE;
  MPU->CTRL = MPU_CTRL_PRIVDEFENA | MPU_CTRL_ENABLE;
  barrier();
}
