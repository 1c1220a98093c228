#ifndef EAG_PORT_INLINE_H
#define EAG_PORT_INLINE_H

/* There is no cycle counter that QEMU runs; see counting.c for what is counted instead. */
uint32_t eag_port_count(void);
static inline uint32_t eag_port_cycles32(void) { return eag_port_count(); }

extern bool eag_port_counts_instructions;
#define EAG_PORT_COUNTER \
  (eag_port_counts_instructions ? EAG_COUNTER_INSTRUCTIONS : EAG_COUNTER_CYCLES)

#endif
