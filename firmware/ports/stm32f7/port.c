/* The rest of the port: caches, reset flags, and the order of it all. */
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
  if (flags & (RCC_CSR_PORRSTF | RCC_CSR_BORRSTF)) return EAG_RESET_POWER_ON;
  if (flags & (RCC_CSR_IWDGRSTF | RCC_CSR_WWDGRSTF)) return EAG_RESET_WATCHDOG;
  if (flags & RCC_CSR_SFTRSTF) return EAG_RESET_SOFTWARE;
  return flags & RCC_CSR_PINRSTF ? EAG_RESET_PIN : EAG_RESET_UNKNOWN;
}

/* As B2.2.7 says: everything invalid first; also where a bootloader left the cache on, since code
 * may have been copied. */
EAG_EARLY static void enable_icache(void) {
  if (!EAG_ICACHE) return;
  barrier();
  SCB_ICIALLU = 0;
  barrier();
  SCB->CCR |= SCB_CCR_IC;
  barrier();
}

/* A data cache that is on holds valid lines, dirty ones perhaps, and is left as it is. */
static void enable_dcache(void) {
  if (!EAG_DCACHE || SCB->CCR & SCB_CCR_DC) return;
  SCB->CSSELR = 0;
  barrier();
  uint32_t size = SCB->CCSIDR;
  uint32_t sets = size >> 13 & 0x7FFF, ways = size >> 3 & 0x3FF;
  uint32_t way_shift = (uint32_t)__builtin_clz(ways);
  for (uint32_t set = 0; set <= sets; set++)
    for (uint32_t way = 0; way <= ways; way++) SCB_DCISW = way << way_shift | set << 5;
  barrier();
  SCB->CCR |= SCB_CCR_DC;
  barrier();
}

uint64_t eag_port_cycles(void) { return systick_cycles(); }
uint32_t eag_port_clock_hz(void) { return core_hz; }
const char *eag_port_trouble(void) { return trouble; }
EAG_EARLY uint32_t console_clock_hz(void) { return core_hz / CONSOLE_DIVIDER; }

EAG_EARLY void port_early(void) {
  trouble = NULL;
  core_hz = clock_init(&trouble);
  enable_icache();
}

void eag_port_init(void) {
  boot_note(read_reset_cause());
  /* Not before code has been copied: it would stay behind in the data cache. */
  enable_icache();
  enable_dcache();
  guard_stack();
  DWT_LAR = DWT_LAR_KEY;
  dwt_start();
  systick_start();
  console_init();
  timing_pin_open();
  __asm__ volatile("cpsie i" ::: "memory");
}
