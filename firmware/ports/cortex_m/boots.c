/* What a reset leaves alone. The memory's content at power-on is anything, hence the check. */
#include "cortex_m.h"
#include "eag_port.h"
#include "eag_wire_defs.h"

#define KEPT_CHECK 0x4B455054u
#define KEPT_FAULT 0x4641554Cu
static struct {
  uint32_t boots, check, fault;
} kept __attribute__((section(".noinit")));

static uint32_t reset_cause;

void boot_note(uint32_t cause) {
  if (cause == EAG_RESET_SOFTWARE && kept.fault == KEPT_FAULT) cause = EAG_RESET_FAULT;
  reset_cause = cause;
  if (cause == EAG_RESET_POWER_ON || kept.check != (kept.boots ^ KEPT_CHECK)) kept.boots = 0;
  kept.boots++;
  kept.check = kept.boots ^ KEPT_CHECK;
  kept.fault = 0;
}

void boot_note_fault(void) { kept.fault = KEPT_FAULT; }
uint32_t eag_port_boot_count(void) { return kept.boots; }
uint32_t eag_port_reset_cause(void) { return reset_cause; }

void eag_port_reset(void) {
  __asm__ volatile("dsb" ::: "memory");
  SCB->AIRCR = SCB_AIRCR_RESET;
  for (;;) {
  }
}
