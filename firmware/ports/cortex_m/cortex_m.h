/* What the ports of Cortex-M chips share: start, faults, the stack's guard, time, what outlives a
 * reset, and the console's rings. A port that names this folder in its port.toml gives, besides
 * eag_port.h's own:
 *
 *   port.h            with PORT_INTERRUPTS: entries of the vector table from 16 on, as designated
 *                     initialisers up to the last interrupt that is ever enabled; PORT_SYSTICK
 *                     where the tick's handler is not systick_handler
 *   port_early()      below
 *   line_...()        the console's UART, below
 *
 * Registers are those of the ARMv7-M Architecture Reference Manual (DDI 0403); Armv8-M (DDI 0553)
 * has them too, but for the MPU's.
 */
#ifndef EAG_CORTEX_M_H
#define EAG_CORTEX_M_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef volatile uint32_t reg;

/* B3.2.2: from the system control block's ICSR on */
typedef struct {
  reg ICSR, VTOR, AIRCR, SCR, CCR, SHPR[3], SHCSR, CFSR, HFSR, DFSR, MMFAR, BFAR, AFSR;
  reg identification[14], CLIDR, CTR, CCSIDR, CSSELR, CPACR;
} scb_registers;
#define SCB ((scb_registers *)0xE000ED04)
#define SCB_ICSR_PENDSTCLR (1u << 25)
#define SCB_ICSR_PENDSTSET (1u << 26)
#define SCB_ICSR_PENDSVCLR (1u << 27)
#define SCB_AIRCR_RESET 0x05FA0004u
#define SCB_CCR_IC (1u << 17)
#define SCB_CCR_DC (1u << 16)
#define SCB_CFSR_MSTKERR (1u << 4)
#define SCB_CFSR_STKERR (1u << 12)
#define SCB_CFSR_STKOF (1u << 20) /* Armv8-M (DDI 0553 D1.2.7): below the stack's limit */
#define SCB_ICIALLU (*(reg *)0xE000EF50)
#define SCB_DCISW (*(reg *)0xE000EF60)

/* B3.3.2 */
typedef struct {
  reg CSR, RVR, CVR;
} systick_registers;
#define SYSTICK ((systick_registers *)0xE000E010)
#define SYSTICK_CSR_ENABLE (1u << 0)
#define SYSTICK_CSR_TICKINT (1u << 1)
#define SYSTICK_CSR_CLKSOURCE (1u << 2) /* the core's clock */
#define SYSTICK_LARGEST 0xFFFFFFu

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

/* C1.6.5, C1.8 */
#define DEMCR (*(reg *)0xE000EDFC)
#define DEMCR_TRCENA (1u << 24)
#define DWT_CTRL (*(reg *)0xE0001000)
#define DWT_CYCCNT (*(reg *)0xE0001004)
#define DWT_LAR (*(reg *)0xE0001FB0)
#define DWT_LAR_KEY 0xC5ACCE55u

_Static_assert(offsetof(scb_registers, CPACR) == 0xD88 - 0xD04, "CPACR");

__attribute__((always_inline)) static inline void barrier(void) { __asm__ volatile("dsb\n  isb" ::: "memory"); }

/* The last thing a handler does. A Cortex-M4 that returns while its last store is still on the way
 * may take another interrupt's vector (Arm's erratum 838869). */
static inline void handler_end(void) { __asm__ volatile("dsb" ::: "memory"); }

static inline void interrupt_on(uint32_t number) {
  NVIC_ISER[number / 32] = 1u << number % 32;
}

/* Waits until `*at & mask` is `value`; false when that takes 65,536 looks of about a hundred
 * cycles: many times what anything here needs. */
bool wait_for(reg *at, uint32_t mask, uint32_t value);

/* Given by the port. What is marked early runs before the image is known to be whole; it and all
 * that it calls is EAG_EARLY. */

/* Early: before anything else in C, with no variable set up yet: the clock, so that what follows is
 * quick. What it wants to remember belongs in .noinit. */
void port_early(void);

/* The console's UART. The port's handler of its interrupt hands bytes to the rings below. */
void line_open(void);         /* early: pins, clock, EAG_CONSOLE_BAUD; nothing interrupts yet */
void line_listen(void);       /* interrupts for what comes and what can go */
void line_put(uint8_t byte);  /* early: waits for room */
void line_wake(void);         /* there are bytes to fetch with console_next() */
void line_flush(void);        /* until the last bit is out */
void line_mute(void);         /* no more interrupts */

/* Given to the port. */

void console_init(void); /* opens the line and listens */
/* For the handler of the line's interrupt. */
void console_received(uint8_t byte);
void console_lost(void); /* a byte was overrun */
bool console_next(uint8_t *byte);

void guard_stack(void);

/* 64-bit core cycles from SysTick, which goes on while the core sleeps; and the 32-bit CYCCNT, which
 * does not. */
void systick_start(void); /* early */
uint64_t systick_cycles(void);
void systick_handler(void);
void dwt_start(void);

/* The cause that kept memory tells, for a chip without reset flags: whether it lost its memory, and
 * whether it reset itself. */
uint32_t boot_cause_kept(void);
/* Counts this boot. `cause`: see wire.toml, reset_cause; a software reset after a fault becomes
 * one by fault. */
void boot_note(uint32_t cause);
void boot_note_fault(void);

#endif
