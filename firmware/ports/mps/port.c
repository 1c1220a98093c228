/* The rest of the port: the stack's guard, time, the LED, and what outlives a reset. */
#include "eag_port.h"
#include "eag_wire_defs.h"
#include "port.h"

static uint32_t reset_cause;

/* What a reset leaves alone. The memory's content at power-on is anything, hence the check. These
 * boards do not tell (AN547) or do not tell apart (AN500) why they start; this does. */
#define KEPT_CHECK 0x4B455054u
#define KEPT_FAULT 0x4641554Cu
#define KEPT_SOFTWARE 0x534F4654u
static struct {
  uint32_t boots, check, reason;
} kept __attribute__((section(".noinit")));

static void read_reset_cause(void) {
  if (kept.check != (kept.boots ^ KEPT_CHECK)) {
    reset_cause = EAG_RESET_POWER_ON;
    kept.boots = 0;
  } else if (kept.reason == KEPT_FAULT) {
    reset_cause = EAG_RESET_FAULT;
  } else if (kept.reason == KEPT_SOFTWARE) {
    reset_cause = EAG_RESET_SOFTWARE;
  } else {
    reset_cause = EAG_RESET_PIN;
  }
  kept.boots++;
  kept.check = kept.boots ^ KEPT_CHECK;
  kept.reason = 0;
}

void boot_note_fault(void) { kept.reason = KEPT_FAULT; }
uint32_t eag_port_boot_count(void) { return kept.boots; }
uint32_t eag_port_reset_cause(void) { return reset_cause; }

void eag_port_reset(void) {
  if (kept.reason != KEPT_FAULT) kept.reason = KEPT_SOFTWARE;
  __asm__ volatile("dsb" ::: "memory");
  SCB->AIRCR = SCB_AIRCR_RESET;
  for (;;) {
  }
}

static void guard_stack(void) {
#if __ARM_ARCH >= 8
  /* No MPU region is needed: the core itself compares the stack pointer with a limit. */
  __asm__ volatile("msr msplim, %0" ::"r"(eag_stack_limit));
#else
  /* No access, for anyone, to the 32 bytes under the stack; everywhere else the default map. */
  MPU->CTRL = 0;
  MPU->RBAR = ((uint32_t)eag_stack_limit - 32) | MPU_RBAR_VALID | 0;
  MPU->RASR = MPU_RASR_XN | MPU_RASR_SIZE_32 | MPU_RASR_ENABLE;
  MPU->CTRL = MPU_CTRL_PRIVDEFENA | MPU_CTRL_ENABLE;
#endif
  barrier();
}

/* Often enough that heartbeats come at their time and that the counter never wraps unseen. */
#define TICK_HZ 20u

static void start_time(void) {
  counting_init();
  SYSTICK->RVR = EAG_CLOCK_HZ / TICK_HZ - 1;
  SYSTICK->CVR = 0;
  SYSTICK->CSR = 7; /* the core's clock, with interrupt */
}

uint64_t eag_port_cycles(void) {
  static uint32_t last, high;
  uint32_t before = mask();
  uint32_t now = ticks();
  if (now < last) high++;
  last = now;
  uint64_t cycles = (uint64_t)high << 32 | now;
  unmask(before);
  return cycles;
}

void on_tick(void) { eag_port_cycles(); }

uint32_t eag_port_clock_hz(void) { return EAG_CLOCK_HZ; }
const char *eag_port_trouble(void) { return NULL; }

/* The FPGA's user LED 0: a pin that an instrument can hold its probe to. */
void eag_port_timing_gpio(bool high) { FPGAIO_LED = high; }

/* An FPGA image has no number of its own. */
size_t eag_port_uid(uint8_t uid[16]) {
  (void)uid;
  return 0;
}

int32_t eag_port_supply_mv(void) { return INT32_MIN; }
int32_t eag_port_die_decicelsius(void) { return INT32_MIN; }

void eag_port_init(void) {
  read_reset_cause();
  guard_stack();
  start_time();
  console_init();
  __asm__ volatile("cpsie i" ::: "memory");
}
