#include "eag_image.h"

#include "eag_build_id.h"

#if defined(__arm__) && defined(EAG_SECTIONS)
#include "eag_port.h"
#include "eag_profiler.h"
extern uint8_t eag_image_bytes[]; /* the linker's; the address is the number */
#define PLACE __attribute__((section(".eag_image_info"), used))
#define ADDRESS(symbol) ((uint32_t)(symbol))
#else
#define PLACE
#define ADDRESS(symbol) 0
#endif

_Static_assert(sizeof(eag_image_info) == 52, "tools read this layout from the flash");

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
