/* Runs a model's steps, counts their cycles, and knows how much of stack and arena was touched. */
#ifndef EAG_PROFILER_H
#define EAG_PROFILER_H

#include <stdbool.h>
#include <stdint.h>

#include "eag_model.h"

/* Steps whose cycles are kept, 4 bytes each; what a longer model has beyond goes into the sum
 * alone. */
#ifndef EAG_MAX_STEPS
#define EAG_MAX_STEPS 128
#endif

#define EAG_NO_STEP 0xFFFFu

/* What runs now; the fault report names it. */
typedef struct {
  volatile uint16_t step; /* EAG_NO_STEP: none */
  volatile uint8_t model;
} eag_progress;
extern eag_progress eag_running;

/* Cycles of each step of the last profile. A step of 2^32 cycles or more (19.9 s at 216 MHz) reads
 * UINT32_MAX. */
extern uint32_t eag_step_cycles[EAG_MAX_STEPS];

/* Calls one step. All steps of all models go through here, so that tools outside the chip can
 * count a step's instructions: from the step's first one up to eag_step_return. */
void eag_step_call(eag_step_fn step);
#ifdef __arm__
extern uint8_t eag_step_return[];
#endif

/* Runs one step and gives its cycles, the call included (about ten). Where instructions are counted,
 * it gives those from the step's first one to its return: no more and no less. */
uint32_t eag_run_step(const eag_model *model, uint32_t step);

/* Runs one inference; gives the sum of its steps' cycles. `keep`: also into eag_step_cycles.
 * `between` is called before each step, outside the counted time. */
uint64_t eag_run_model(const eag_model *model, bool keep, void (*between)(void));

/* Fills the inputs, one after the other, from a linear congruential generator (Numerical Recipes'
 * constants); gives the state after. */
uint32_t eag_fill_inputs(const eag_model *model, uint32_t state);

/* Paints a model's arena; later the bytes from a block's start to the last one touched, or what
 * an engine says. A last byte that happens to hold the paint's value is missed. */
void eag_arena_paint(const eag_model *model);
uint32_t eag_arena_used(const eag_model *model, uint32_t block);

/* An engine's state, EAG_ENGINE_READY where the model needs none; `*words` is set where it is not
 * ready. */
uint8_t eag_engine_start(const eag_model *model, const char **words);
uint8_t eag_engine_state(const eag_model *model, const char **words);

/* Block `index` of what a host may look at: the arena's, then the results that an engine knows of.
 * Base NULL: there is none, or not yet. */
eag_block eag_model_block(const eag_model *model, uint32_t index);

uint32_t eag_stack_size(void);
uint32_t eag_stack_used(void);

#endif
