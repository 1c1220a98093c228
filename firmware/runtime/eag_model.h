/* The seam between generated model code and whoever runs it.
 *
 * A generated model is a const eag_model. It has no heap, no globals but its arena, and no
 * knowledge of the runtime: this header and the kernels are all it needs, so a generated folder
 * drops into any project.
 */
#ifndef EAG_MODEL_H
#define EAG_MODEL_H

#include <stddef.h>
#include <stdint.h>

/* Raised when generated code and this header stop understanding each other. */
#define EAG_MODEL_ABI 1

/* Where things go. A build for a board defines EAG_SECTIONS and a linker script that knows these
 * section names; without it (a host, a project of the user's own) the toolchain's defaults serve.
 *   EAG_CONST(kind, region)   constants; kind is weights or table; region a memory of the board
 *   EAG_ARENA(region)         the block of one region's buffers, not initialised
 */
#ifdef EAG_SECTIONS
#define EAG_CONST(kind, region) __attribute__((section(".eag_" #kind "." #region)))
#define EAG_ARENA(region) __attribute__((section(".bss.eag_arena." #region)))
#else
#define EAG_CONST(kind, region)
#define EAG_ARENA(region)
#endif
#define EAG_ALIGNED(bytes) __attribute__((aligned(bytes)))

typedef void (*eag_step_fn)(void);

/* One input or output of a model, inside the arena. */
typedef struct {
  void *data;
  uint32_t size; /* bytes */
} eag_tensor;

/* One region's arena block. */
typedef struct {
  void *base;
  uint32_t size; /* bytes */
} eag_block;

/* Why an engine cannot run its model. */
enum { EAG_ENGINE_READY, EAG_ENGINE_ARENA_TOO_SMALL, EAG_ENGINE_FAILED };

/* What stands between the steps and a model that is interpreted. Steps are then the pieces into
 * which the engine cuts an inference; where tensors lie is known once it has started. */
typedef struct {
  /* Called once, before any step; from then on the arena is the engine's. */
  void (*start)(void);
  /* Asked before and after every inference. `*words` says what is wrong, if anything is. */
  uint8_t (*state)(const char **words);
  uint32_t (*arena_used)(void); /* bytes, of all blocks together */
  /* What each step has written, once it has run: to the host, blocks after those of the arena. */
  const eag_tensor *results;
  uint16_t result_count;
} eag_engine;

typedef struct {
  const char *name;
  const uint8_t *sha256; /* of the .tflite, 32 bytes */
  /* zlib-compressed JSON: layers, steps, kernels, tensors (see docs/protocol.md); the host
   * unpacks it, the board only carries it. */
  const uint8_t *description;
  uint32_t description_size;
  const eag_step_fn *steps; /* run in order, each exactly once, makes one inference */
  const eag_tensor *inputs;
  const eag_tensor *outputs;
  const eag_block *arena;
  uint16_t step_count;
  uint8_t input_count;
  uint8_t output_count;
  uint8_t arena_count;
  const eag_engine *engine; /* NULL: compiled code, ready from the start */
} eag_model;

#endif
