/* Telemetry frames at a rate, to test the link. */
#ifndef EAG_BURST_H
#define EAG_BURST_H

#include <stdbool.h>
#include <stdint.h>

/* `count` frames, `rate` a second from now on, each with `length` bytes of `data`. */
void eag_burst_start(uint32_t count, uint32_t rate, const uint8_t *data, uint32_t length);

/* Sends the frame that is due; true while another one is before `soon`. */
bool eag_burst_poll(uint64_t now, uint64_t soon);

#endif
