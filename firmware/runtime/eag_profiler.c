#include "eag_profiler.h"

#include "eag_port.h"
#include "eag_wire_defs.h"

#define ARENA_PAINT 0xA5

eag_progress eag_running = {.step = EAG_NO_STEP};
uint32_t eag_step_cycles[EAG_MAX_STEPS];

#ifdef __arm__
/* The label is what this is in assembler for: compiled C has no name for a return address. */
__asm__(
    "  .syntax unified\n"
    "  .thumb\n"
    "  .section .text.eag_step_call, \"ax\", %progbits\n"
    "  .balign 4\n"
    "  .global eag_step_call\n"
    "  .global eag_step_return\n"
    "  .type eag_step_call, %function\n"
    "  .thumb_func\n"
    "eag_step_call:\n"
    "  push {r4, lr}\n"
    "  blx r0\n"
    "eag_step_return:\n"
    "  pop {r4, pc}\n"
    "  .size eag_step_call, . - eag_step_call\n"
    "  .text\n");
#else
void eag_step_call(eag_step_fn step) { step(); }
#endif

#ifdef EAG_PORT_COUNTER
static void nothing(void) { __asm__ volatile(""); }

/* Never inlined, so that reading and calling take the same instructions for every step. */
__attribute__((noinline)) static uint32_t counted(eag_step_fn step) {
  uint32_t start = eag_port_cycles32();
  eag_step_call(step);
  return eag_port_cycles32() - start;
}

/* Instructions counted beside the step's own: known from a step of a single one, its return. */
static uint32_t around(void) {
  static uint32_t known;
  if (EAG_PORT_COUNTER == EAG_COUNTER_INSTRUCTIONS && !known) known = counted(nothing) - 1;
  return known;
}
#else
static inline uint32_t counted(eag_step_fn step) {
  uint32_t start = eag_port_cycles32();
  eag_step_call(step);
  return eag_port_cycles32() - start;
}
static inline uint32_t around(void) { return 0; }
#endif

uint32_t eag_run_step(const eag_model *model, uint32_t step) {
  eag_running.step = (uint16_t)step;
  /* The 32-bit counter costs the least, so it does the counting; the 64-bit one only tells
   * whether it wrapped. */
  uint64_t before = eag_port_cycles();
  uint32_t cycles = counted(model->steps[step]) - around();
  if ((eag_port_cycles() - before) >> 32) cycles = UINT32_MAX;
  eag_running.step = EAG_NO_STEP;
  return cycles;
}

uint64_t eag_run_model(const eag_model *model, bool keep, void (*between)(void)) {
  uint64_t sum = 0;
  for (uint32_t step = 0; step < model->step_count; step++) {
    eag_running.step = (uint16_t)step;
    between();
    uint32_t cycles = eag_run_step(model, step);
    if (keep && step < EAG_MAX_STEPS) eag_step_cycles[step] = cycles;
    sum += cycles;
  }
  return sum;
}

void eag_arena_paint(const eag_model *model) {
  for (uint32_t i = 0; i < model->arena_count; i++) {
    uint8_t *at = model->arena[i].base;
    for (uint32_t left = model->arena[i].size; left; left--) *at++ = ARENA_PAINT;
  }
}

uint8_t eag_engine_state(const eag_model *model, const char **words) {
  return model->engine ? model->engine->state(words) : EAG_ENGINE_READY;
}

uint8_t eag_engine_start(const eag_model *model, const char **words) {
  if (model->engine) model->engine->start();
  return eag_engine_state(model, words);
}

eag_block eag_model_block(const eag_model *model, uint32_t index) {
  if (index < model->arena_count) return model->arena[index];
  index -= model->arena_count;
  const eag_engine *engine = model->engine;
  if (!engine || index >= engine->result_count) return (eag_block){NULL, 0};
  return (eag_block){engine->results[index].data, engine->results[index].size};
}

uint32_t eag_arena_used(const eag_model *model, uint32_t index) {
  /* An engine works from both ends of its arena, so that no watermark tells. */
  if (model->engine) return model->engine->arena_used();
  const uint8_t *base = model->arena[index].base;
  uint32_t used = model->arena[index].size;
  while (used && base[used - 1] == ARENA_PAINT) used--;
  return used;
}

uint32_t eag_stack_size(void) {
  return (uint32_t)((uintptr_t)eag_stack_top - (uintptr_t)eag_stack_limit);
}

uint32_t eag_stack_used(void) {
  const uint32_t *at = eag_stack_limit;
  while (at != eag_stack_top && *at == EAG_STACK_PAINT) at++;
  return (uint32_t)((uintptr_t)eag_stack_top - (uintptr_t)at);
}

uint32_t eag_fill_inputs(const eag_model *model, uint32_t state) {
  for (uint32_t i = 0; i < model->input_count; i++) {
    uint8_t *at = model->inputs[i].data;
    for (uint32_t left = model->inputs[i].size; left; left--) {
      state = state * 1664525u + 1013904223u;
      *at++ = (uint8_t)(state >> 24);
    }
  }
  return state;
}
