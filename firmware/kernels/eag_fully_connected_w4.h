/* FULLY_CONNECTED, int8 activations and int4 weights. */
#ifndef EAG_FULLY_CONNECTED_W4_H
#define EAG_FULLY_CONNECTED_W4_H

#include <stdint.h>

#include "eag_fully_connected.h"

/* The int8 kernel's parameters, but `weights` are packed (eag_int4.h): of each output `depth` of
 * them, in whole bytes.
 *
 * Portable C99. `out` must not overlap `in`. Scratch: none (NULL). Stack: under 64 B. */
void eag_fully_connected_w4(const struct eag_fully_connected_params *p, const int8_t *in,
                            int8_t *out, void *scratch);
uint32_t eag_fully_connected_w4_scratch_bytes(const struct eag_fully_connected_params *p);

#endif
