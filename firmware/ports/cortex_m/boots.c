/* What a reset leaves alone. The memory's content at power-on is anything, hence the check. */
#include "cortex_m.h"
#include "eag_port.h"
#include "eag_wire_defs.h"

#define KEPT_CHECK 0x4B455054u
#define KEPT_FAULT 0x4641554Cu
#define KEPT_SOFTWARE 0x534F4654u
static struct {
  uint32_t boots, check, reason;
} kept __attribute__((section(".noinit")));

static uint32_t reset_cause;

static bool kept_whole(void) { return kept.check == (kept.boots ^ KEPT_CHECK); }

uint32_t boot_cause_kept(void) {
  if (!kept_whole()) return EAG_RESET_POWER_ON;
  return kept.reason ? EAG_RESET_SOFTWARE : EAG_RESET_PIN;
}

void boot_note(uint32_t cause) {
  if (cause == EAG_RESET_SOFTWARE && kept.reason == KEPT_FAULT) cause = EAG_RESET_FAULT;
  reset_cause = cause;
  if (cause == EAG_RESET_POWER_ON || !kept_whole()) kept.boots = 0;
  kept.boots++;
  kept.check = kept.boots ^ KEPT_CHECK;
  kept.reason = 0;
}

void boot_note_fault(void) { kept.reason = KEPT_FAULT; }
uint32_t eag_port_boot_count(void) { return kept.boots; }
uint32_t eag_port_reset_cause(void) { return reset_cause; }

void eag_port_reset(void) {
  if (!kept.reason) kept.reason = KEPT_SOFTWARE;
  __asm__ volatile("dsb" ::: "memory");
  SCB->AIRCR = SCB_AIRCR_RESET;
  for (;;) {
  }
}
