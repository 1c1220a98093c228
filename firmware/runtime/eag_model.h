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
} eag_model;

#endif
