/* Registers of the Cortex-M that this port uses: the ARMv7-M and Armv8-M Architecture Reference
 * Manuals (DDI 0403, DDI 0553).
 */
#ifndef EAG_MPS_CORE_H
#define EAG_MPS_CORE_H

#include "mps.h"

/* DDI 0403 B3.2.2: from the system control block's ICSR on */
typedef struct {
  reg ICSR, VTOR, AIRCR, SCR, CCR, SHPR[3], SHCSR, CFSR, HFSR, DFSR, MMFAR, BFAR, AFSR;
  reg identification[14], CLIDR, CTR, CCSIDR, CSSELR, CPACR;
} scb_registers;
#define SCB ((scb_registers *)0xE000ED04)
#define SCB_ICSR_PENDSTCLR (1u << 25)
#define SCB_ICSR_PENDSVCLR (1u << 27)
#define SCB_AIRCR_RESET 0x05FA0004u
#define SCB_CFSR_MSTKERR (1u << 4)
#define SCB_CFSR_STKERR (1u << 12)
#define SCB_CFSR_STKOF (1u << 20) /* Armv8-M: below the stack's limit */

/* B3.3.2 */
typedef struct {
  reg CSR, RVR, CVR;
} systick_registers;
#define SYSTICK ((systick_registers *)0xE000E010)

/* B3.4.3 */
#define NVIC_ISER ((reg *)0xE000E100)
#define NVIC_ICER ((reg *)0xE000E180)
#define NVIC_ICPR ((reg *)0xE000E280)

/* B3.5.4 */
typedef struct {
  reg TYPE, CTRL, RNR, RBAR, RASR;
} mpu_registers;
#define MPU ((mpu_registers *)0xE000ED90)
#define MPU_CTRL_ENABLE (1u << 0)
#define MPU_CTRL_PRIVDEFENA (1u << 2)
#define MPU_RBAR_VALID (1u << 4)
#define MPU_RASR_ENABLE (1u << 0)
#define MPU_RASR_SIZE_32 (4u << 1)
#define MPU_RASR_XN (1u << 28)

_Static_assert(offsetof(scb_registers, CPACR) == 0xD88 - 0xD04, "CPACR");

static inline void barrier(void) { __asm__ volatile("dsb\n  isb" ::: "memory"); }

#endif
