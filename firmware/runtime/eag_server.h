/* Answers the wire's requests, runs models when asked or by itself, and reports. The board has one
 * console, so there is one server and its state is static. docs/protocol.md is the long form.
 */
#ifndef EAG_SERVER_H
#define EAG_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "eag_model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The image's models; made by the build. */
extern const eag_model *const eag_models[];
extern const unsigned eag_model_count;

/* Paints the arenas and sends the boot's log event. After eag_port_init(). */
void eag_server_init(void);

/* Does what is due: requests, heartbeat, free run, burst. True when more may be due at once; false
 * when an interrupt is worth waiting for. */
bool eag_server_poll(void);

#ifdef __cplusplus
}
#endif

#endif
