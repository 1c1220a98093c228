/* The one frame being written: begun, filled key by key, sent. Not reentrant: whoever begins a
 * frame drops what was not sent.
 */
#ifndef EAG_FRAME_H
#define EAG_FRAME_H

#include <stdint.h>

#include "eag_cbor.h"
#include "eag_model.h"

/* For what the functions below do not cover: lists, and maps within maps. */
extern eag_cbor_writer eag_writer;

void eag_begin(void);
void eag_send(uint8_t type, uint8_t flags); /* returns when the line has taken all of it */

void eag_key(uint32_t key);
void eag_put(uint32_t key, uint32_t value);
void eag_put64(uint32_t key, uint64_t value);
void eag_put_data(uint32_t key, const void *bytes, uint32_t count);
void eag_put_text(uint32_t key, const char *text, uint32_t most);
/* A list of the sizes of `count` tensors or blocks; `size` is the first one's. */
void eag_put_sizes(uint32_t key, const uint32_t *size, uint32_t count);
/* Supply and temperature, each left out where the SoC cannot tell. */
void eag_put_sensors(void);
/* The stack's watermark, left out where its bounds are not known. */
void eag_put_stack(void);
/* The stack's watermark and the first bytes of the outputs. */
void eag_put_result(const eag_model *model);

#endif
