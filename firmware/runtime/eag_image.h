/* What an image says about itself, at a fixed place in flash (right after the vector table), so
 * that tools can tell an image apart without running it.
 */
#ifndef EAG_IMAGE_H
#define EAG_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EAG_IMAGE_MAGIC 0x31474145u /* "EAG1" */
#define EAG_IMAGE_VERSION 1

/* Little-endian, no padding. Addresses are 0 where the linker script is not ours. */
typedef struct {
  uint32_t magic;
  uint16_t version;
  uint16_t size; /* bytes of this struct */
  uint8_t build_id[8];
  uint32_t image_bytes; /* from the start of flash */
  uint32_t step_call;   /* eag_step_call: the profiler's way into every step */
  uint32_t step_return; /* where a step comes back to */
  uint32_t stack_limit;
  uint32_t stack_top;
  char board[32] __attribute__((nonstring)); /* zero-terminated unless it has 32 characters */
  /* CRC-32/ISO-HDLC of all of image_bytes but this word, 0xFFFFFFFF where that is 0; 0: nobody
   * computed it */
  uint32_t crc;
} eag_image_info;

extern const eag_image_info eag_image;

/* Whether the flash holds all of this image. Half of one is there when flashing was cut off: a new
 * beginning, and behind it what the flash held before, or nothing. An image whose link nobody
 * followed up with the CRC passes. */
bool eag_image_whole(void);

/* Says on the wire, with one LOG, that it does not. `put` writes bytes and takes all of them. */
void eag_image_say_half(void (*put)(const uint8_t *bytes, size_t count));

#endif
