/* TensorFlow Lite Micro under the runtime's seam: a model that its interpreter runs, as an
 * eag_model whose steps are the interpreter's ops.
 *
 * Generated code describes its model in `eag_tflm_program`, and lists eag_tflm_step as every step.
 * An image holds one such model.
 */
#ifndef EAG_TFLM_H
#define EAG_TFLM_H

#include <stdint.h>

#include "eag_model.h"

#ifdef __cplusplus
#include "tensorflow/lite/micro/micro_allocator.h"
#include "tensorflow/lite/micro/micro_op_resolver.h"

extern "C" {
#endif

/* Whether a step is an op. A whole inference is one step where the library does not tell its ops
 * apart, as one that was built without its error strings; and where it cannot be left between them:
 * EAG_SECTIONS says that the stack is laid out by our own linker script. */
#if defined(TF_LITE_STRIP_ERROR_STRINGS) || !defined(EAG_SECTIONS)
#define EAG_TFLM_BY_OP 0
#else
#define EAG_TFLM_BY_OP 1
#endif

/* One buffer of the arena, as it was planned when the model was exported: bytes, and the first and
 * the last op that needs it, counted from 1 (0: before the first; both -1: no op needs it). */
typedef struct {
  uint32_t size, offset;
  int16_t first, last;
} eag_tflm_buffer;

#ifdef __cplusplus
typedef struct {
  const uint8_t *model; /* the .tflite, aligned to 16 bytes */
  uint8_t *arena;       /* aligned to 16 bytes */
  uint32_t arena_bytes;
  uint32_t arena_needed; /* as was stated when the model was exported; 0: it could not be */
  eag_tensor *inputs, *outputs;
  eag_tensor *results;            /* of each step, or NULL */
  const uint16_t *result_tensors; /* index in the model of what each step writes */
  const eag_tflm_buffer *buffers; /* in the order in which TFLM asks for them */
  uint16_t step_count, buffer_count;
  uint8_t input_count, output_count;
  /* Makes the resolver, once; NULL when an op could not be added. */
  const tflite::MicroOpResolver *(*resolver)(void);
  tflite::MicroAllocator *(*allocator)(void); /* one of the two below */
} eag_tflm_program_t;
extern const eag_tflm_program_t eag_tflm_program;
#endif

#ifdef __cplusplus
/* An arena laid out by the plan that was exported, and one that TFLM plans. */
tflite::MicroAllocator *eag_tflm_planned(void);
tflite::MicroAllocator *eag_tflm_plain(void);
#endif

void eag_tflm_step(void);
void eag_tflm_start(void);
uint8_t eag_tflm_state(const char **why);
uint32_t eag_tflm_arena_used(void);

/* From the library's log: its words; a lack of arena; and that it can do no more, which gives up
 * the call that is under way and returns only where there is none. */
void eag_tflm_said(const char *line);
void eag_tflm_missing(uint32_t bytes);
void eag_tflm_halt(void);

#ifdef __cplusplus
}
#endif

#endif
