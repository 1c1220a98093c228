#ifndef EAG_PORT_INLINE_H
#define EAG_PORT_INLINE_H

/* There is no cycle counter that QEMU runs; see counting.c for what is counted instead. */
uint32_t eag_port_count(void);
static inline uint32_t eag_port_cycles32(void) { return eag_port_count(); }

#define EAG_PORT_COUNTS_INSTRUCTIONS eag_port_counts_instructions
extern bool eag_port_counts_instructions;

#endif
