/* From reset to main(), and from a fault to its report. */
#include "eag_early.h"
#include "eag_image.h"
#include "eag_port.h"
#include "port.h"

int main(void);

typedef struct {
  const uint32_t *source;
  uint32_t *destination;
  uint32_t bytes;
} copy_entry;
typedef struct {
  uint32_t *destination;
  uint32_t bytes;
} zero_entry;
extern const copy_entry eag_copy_table_start[], eag_copy_table_end[];
extern const zero_entry eag_zero_table_start[], eag_zero_table_end[];

void eag_reset(void);
void start(void) __attribute__((noreturn, used));
void begin(void) __attribute__((noreturn));
void fault_report(const uint32_t *frame) __attribute__((noreturn, used));

/* A debugger or the ROM bootloader may jump here with a stack of its own, and the compiler may use
 * FPU registers anywhere: both are seen to before C runs. */
EAG_EARLY __attribute__((naked, noreturn)) void eag_reset(void) {
  __asm__ volatile(
      "  cpsid i\n"
      "  ldr r0, =eag_stack_top\n"
      "  movs r1, #0\n"
      "  msr basepri, r1\n"
      "  msr control, r1\n"
#if __ARM_ARCH >= 8
      "  msr msplim, r1\n"
#endif
      "  isb\n" /* until then `sp` may be the process stack's */
      "  mov sp, r0\n"
      "  ldr r0, =0xE000ED88\n" /* CPACR: CP10 and CP11 are the FPU */
      "  ldr r1, [r0]\n"
      "  orr r1, r1, #0x00F00000\n"
      "  str r1, [r0]\n"
      "  dsb\n"
      "  isb\n"
      "  b start\n"
      "  .ltorg\n");
}

/* All faults end here: with their own handlers off, every one escalates to a hard fault, where the
 * MPU is off too (its HFNMIENA is 0), so that reporting a stack that ran into its guard cannot run
 * into it again. The report takes the half of the stack that the exception frame is not in:
 * nothing of the stack is needed any more but that frame. */
__attribute__((naked, noreturn)) static void fault(void) {
  __asm__ volatile(
      "  mov r0, sp\n"
      "  ldr r1, =eag_stack_limit\n"
      "  ldr r2, =eag_stack_top\n"
      "  add r1, r1, r2\n"
      "  lsrs r1, r1, #1\n"
      "  cmp r0, r1\n"
      "  it lo\n"
      "  movlo r1, r2\n"
      "  mov sp, r1\n"
      "  b fault_report\n"
      "  .ltorg\n");
}

#ifndef PORT_SYSTICK
#define PORT_SYSTICK systick_handler
#endif

/* As far as the last interrupt that is ever enabled; the rest of the chip's stay off. */
typedef void (*vector)(void);
__attribute__((section(".eag_vectors"), used)) static const vector vectors[] = {
    [0] = (vector)eag_stack_top,
    [1] = eag_reset,
    [2 ... 14] = fault,
    [15] = PORT_SYSTICK,
    PORT_INTERRUPTS,
};

EAG_EARLY static void put(const uint8_t *bytes, size_t count) {
  while (count--) line_put(*bytes++);
}

/* About twice a second, until somebody flashes the board again. */
EAG_EARLY __attribute__((noreturn)) static void stay(void) {
  line_open();
  /* Interrupts stay masked: one that is pending ends WFI, and nothing else comes of it. */
  systick_start();
  for (;;) {
    eag_image_say_half(put);
    for (uint32_t left = EAG_CLOCK_HZ / 2 / SYSTICK_LARGEST + 1; left; left--) {
      __asm__ volatile("dsb\n  wfi" ::: "memory");
      SCB->ICSR = SCB_ICSR_PENDSTCLR;
    }
  }
}

EAG_EARLY void start(void) {
  SCB->VTOR = (uint32_t)vectors;
  SYSTICK->CSR = 0;
  SCB->ICSR = SCB_ICSR_PENDSTCLR | SCB_ICSR_PENDSVCLR;
  for (uint32_t i = 0; i < 4; i++) {
    NVIC_ICER[i] = NVIC_ICER[i]; /* a one, read or written, is one that is on: off with it */
    NVIC_ICPR[i] = NVIC_ICPR[i];
  }
  port_early();
  if (!eag_image_whole()) stay();
  begin();
}

void begin(void) {
  for (const copy_entry *entry = eag_copy_table_start; entry != eag_copy_table_end; entry++)
    for (uint32_t i = 0; i < entry->bytes / 4; i++) entry->destination[i] = entry->source[i];
  for (const zero_entry *entry = eag_zero_table_start; entry != eag_zero_table_end; entry++)
    for (uint32_t i = 0; i < entry->bytes / 4; i++) entry->destination[i] = 0;
  uint32_t *here;
  __asm__ volatile("mov %0, sp" : "=r"(here));
  /* Volatile, lest this becomes a call of memset, whose own frame would lie in what it paints. */
  for (volatile uint32_t *at = eag_stack_limit; at != here; at++) *at = EAG_STACK_PAINT;
  barrier(); /* code may have been copied */
  main();
  for (;;) {
  }
}

void fault_report(const uint32_t *frame) {
  uint32_t cfsr = SCB->CFSR;
  /* Where the stack was full there is no frame to read. */
  if ((cfsr & (SCB_CFSR_MSTKERR | SCB_CFSR_STKERR | SCB_CFSR_STKOF)) || frame < eag_stack_limit ||
      frame + 8 > eag_stack_top)
    frame = NULL;
  boot_note_fault();
  eag_port_panic();
  eag_on_fault(frame, cfsr, SCB->HFSR, SCB->MMFAR, SCB->BFAR);
  eag_port_write_flush();
  eag_port_reset();
}
