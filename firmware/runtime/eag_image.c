#include "eag_image.h"

#include "eag_build_id.h"
#include "eag_cbor.h"
#include "eag_early.h"
#include "eag_wire.h"

#if defined(__arm__) && defined(EAG_SECTIONS) /* an image of our own linking */
#define OURS
#include "eag_port.h"
#include "eag_profiler.h"
extern uint8_t eag_image_bytes[]; /* the linker's; the address is the number */
#define PLACE __attribute__((section(".eag_image_info"), used))
#define ADDRESS(symbol) ((uint32_t)(symbol))
#else
#define PLACE
#define ADDRESS(symbol) 0
#endif

_Static_assert(sizeof(eag_image_info) == 72, "tools read this layout from the flash");

const eag_image_info eag_image PLACE = {
    .magic = EAG_IMAGE_MAGIC,
    .version = EAG_IMAGE_VERSION,
    .size = sizeof(eag_image_info),
    .build_id = EAG_BUILD_ID,
    .image_bytes = ADDRESS(eag_image_bytes),
    .step_call = ADDRESS(eag_step_call),
    .step_return = ADDRESS(eag_step_return),
    .stack_limit = ADDRESS(eag_stack_limit),
    .stack_top = ADDRESS(eag_stack_top),
    .board = EAG_BOARD_NAME,
};

#ifdef OURS

/* A byte at a time, by a table of 1 KB that is made on the stack: nothing else lies there yet, no
 * flash is spent on it, and no flash with wait states is asked four times a word. */
EAG_EARLY static void make_table(uint32_t table[256]) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t crc = i;
    for (uint32_t bit = 8; bit; bit--) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    table[i] = crc;
  }
}

#define BYTE crc = crc >> 8 ^ table[crc & 0xFF]
EAG_EARLY __attribute__((noinline)) static uint32_t crc_words(const uint32_t table[256],
                                                              uint32_t crc,
                                                              const volatile uint32_t *at,
                                                              uint32_t count) {
  while (count--) {
    crc ^= *at++;
    BYTE, BYTE, BYTE, BYTE;
  }
  return crc;
}

EAG_EARLY bool eag_image_whole(void) {
  /* What the compiler knows of its own constant is not what the flash holds. */
  const volatile eag_image_info *info = &eag_image;
  uint32_t bytes = info->image_bytes, crc = info->crc;
  if (!crc) return true;
  uint32_t before = (uint32_t)&info->crc - EAG_FLASH_ADDRESS;
  if (bytes % 4 || bytes > EAG_FLASH_BYTES || bytes < before + 4) return false;
  uint32_t table[256];
  make_table(table);
  uint32_t start = EAG_FLASH_ADDRESS;
  __asm__("" : "+r"(start)); /* where it is 0 it is no null pointer */
  uint32_t found = crc_words(table, 0xFFFFFFFFu, (const uint32_t *)start, before / 4);
  found = crc_words(table, found, &info->crc + 1, (bytes - before - 4) / 4);
  found = ~found;
  return (found ? found : 0xFFFFFFFFu) == crc;
}

/* {detail: "half an image", code: half_image} */
static const volatile uint8_t words[] EAG_EARLY_DATA = {
    EAG_CBOR_MAP << 5 | 2, EAG_KEY_DETAIL, EAG_CBOR_TEXT << 5 | 13,
    'h', 'a', 'l', 'f', ' ', 'a', 'n', ' ', 'i', 'm', 'a', 'g', 'e',
    EAG_KEY_CODE, EAG_ERROR_HALF_IMAGE};
_Static_assert(EAG_KEY_DETAIL < 24 && EAG_KEY_CODE < 24 && EAG_ERROR_HALF_IMAGE < 24,
               "each is one byte of CBOR");

EAG_EARLY void eag_image_say_half(eag_wire_put put) {
  uint8_t frame[EAG_WIRE_HEADER + sizeof words + EAG_CRC_BYTES];
  for (uint32_t i = 0; i < sizeof words; i++) frame[EAG_WIRE_HEADER + i] = words[i];
  eag_wire_send(frame, EAG_EVENT_LOG, 0, 0, sizeof words, put);
}

#endif
