#ifndef EAG_PORT_INLINE_H
#define EAG_PORT_INLINE_H

static inline uint32_t eag_port_cycles32(void) { return (uint32_t)eag_port_cycles(); }

#endif
