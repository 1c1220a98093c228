/* The rest of the port: time, the LED, and the order of it all. */
#include "eag_early.h"
#include "eag_port.h"
#include "port.h"

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

/* The FPGA's user LED 0: an instrument's probe can be held to it. */
void eag_port_timing_gpio(bool high) { FPGAIO_LED = high; }

/* An FPGA image has no number of its own. */
size_t eag_port_uid(uint8_t uid[16]) {
  (void)uid;
  return 0;
}

int32_t eag_port_supply_mv(void) { return INT32_MIN; }
int32_t eag_port_die_decicelsius(void) { return INT32_MIN; }

/* The board's controller has set up the clocks before the core starts. */
EAG_EARLY void port_early(void) {}

void eag_port_init(void) {
  boot_note(boot_cause_kept());
  guard_stack();
  start_time();
  console_init();
  __asm__ volatile("cpsie i" ::: "memory");
}
