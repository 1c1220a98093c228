/* The rest of the port: reset flags, supplies, and the order of it all. */
#include "eag_early.h"
#include "eag_port.h"
#include "port.h"
#include "eag_wire_defs.h"

/* Set before the start of C clears variables. */
static const char *trouble __attribute__((section(".noinit")));
static uint32_t core_hz __attribute__((section(".noinit")));

static uint32_t read_reset_cause(void) {
  uint32_t flags = RCC->CSR;
  RCC->CSR |= RCC_CSR_RMVF;
  if (flags & RCC_CSR_BORRSTF) return EAG_RESET_POWER_ON;
  if (flags & (RCC_CSR_IWDGRSTF | RCC_CSR_WWDGRSTF)) return EAG_RESET_WATCHDOG;
  if (flags & RCC_CSR_SFTRSTF) return EAG_RESET_SOFTWARE;
  return flags & RCC_CSR_PINRSTF ? EAG_RESET_PIN : EAG_RESET_UNKNOWN;
}

uint64_t eag_port_cycles(void) { return systick_cycles(); }
uint32_t eag_port_clock_hz(void) { return core_hz; }
const char *eag_port_trouble(void) { return trouble; }
EAG_EARLY uint32_t console_clock_hz(void) { return CONSOLE_LOW_POWER ? 16000000u : core_hz; }

EAG_EARLY void port_early(void) {
  trouble = NULL;
  core_hz = clock_init(&trouble);
  /* Port G from pin 2 on has a supply of its own, cut off until told that it is there (RM0432,
   * PWR_CR2). */
  PWR->CR2 |= PWR_CR2_IOSV;
}

void eag_port_init(void) {
  boot_note(read_reset_cause());
  guard_stack();
  dwt_start();
  systick_start();
  console_init();
  timing_pin_open();
  __asm__ volatile("cpsie i" ::: "memory");
}
