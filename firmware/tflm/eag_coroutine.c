#include "eag_coroutine.h"

#include <stdint.h>

#include "eag_port.h"

static void (*body)(void);
static bool running, inside;

bool eag_coroutine_inside(void) { return inside; }

#ifdef EAG_SECTIONS

/* Registers that a call must keep (AAPCS 6.1.1), in the order that eag_coroutine_switch leaves on
 * the stack. */
typedef struct {
#ifdef __ARM_FP
  uint32_t s16_s31[16];
#endif
  uint32_t r8_r11[4], r4_r7[4], lr;
} context;

static uint32_t *inside_sp, *outside_sp;

/* Keeps the caller's registers and stack pointer, and goes on where another call of this stood.
 * Only instructions that every Cortex-M has. */
void eag_coroutine_switch(uint32_t **keep, uint32_t *to);
#ifdef __ARM_FP
#define PUSH_FPU "  vpush {s16-s31}\n"
#define POP_FPU "  vpop {s16-s31}\n"
#else
#define PUSH_FPU
#define POP_FPU
#endif
__asm__(
    "  .syntax unified\n"
    "  .thumb\n"
    "  .section .text.eag_coroutine_switch, \"ax\", %progbits\n"
    "  .balign 4\n"
    "  .global eag_coroutine_switch\n"
    "  .type eag_coroutine_switch, %function\n"
    "  .thumb_func\n"
    "eag_coroutine_switch:\n"
    "  push {r4-r7, lr}\n"
    "  mov r4, r8\n"
    "  mov r5, r9\n"
    "  mov r6, r10\n"
    "  mov r7, r11\n"
    "  push {r4-r7}\n" PUSH_FPU
    "  mov r2, sp\n"
    "  str r2, [r0]\n"
    "  mov sp, r1\n" POP_FPU
    "  pop {r4-r7}\n"
    "  mov r8, r4\n"
    "  mov r9, r5\n"
    "  mov r10, r6\n"
    "  mov r11, r7\n"
    "  pop {r4-r7, pc}\n"
    "  .size eag_coroutine_switch, . - eag_coroutine_switch\n"
    "  .text\n");

static void run(void) {
  body();
  running = false;
  for (;;) eag_coroutine_leave();
}

void eag_coroutine_begin(void (*function)(void)) {
  body = function;
  running = true;
  uintptr_t top = (uintptr_t)eag_stack_top - EAG_COROUTINE_ABOVE;
  /* Once the context is taken off, the stack pointer is a multiple of 8. */
  context *first = (context *)((top & ~(uintptr_t)7) - sizeof(context));
  *first = (context){.lr = (uint32_t)(uintptr_t)run};
  inside_sp = (uint32_t *)first;
}

bool eag_coroutine_enter(void) {
  if (!running) return false;
  inside = true;
  eag_coroutine_switch(&outside_sp, inside_sp);
  inside = false;
  return running;
}

void eag_coroutine_leave(void) { eag_coroutine_switch(&inside_sp, outside_sp); }

#else

void eag_coroutine_begin(void (*function)(void)) {
  body = function;
  running = true;
}

bool eag_coroutine_enter(void) {
  if (!running) return false;
  body();
  return running = false;
}

void eag_coroutine_leave(void) {}

#endif
