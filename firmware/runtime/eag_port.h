/* What a SoC's port gives to the runtime. One folder of firmware/ports implements all of it.
 *
 * Ports know nothing of models and of the wire. Every function may be called from thread mode
 * after eag_port_init(); those marked [isr] from handlers as well.
 */
#ifndef EAG_PORT_H
#define EAG_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Clock tree, caches, FPU, cycle counter, console. Called once, from any clock state. */
void eag_port_init(void);

/* Counts a second of the counter below. It counts core cycles; a port that can only count something
 * else defines EAG_PORT_COUNTER in its eag_port_inline.h, an expression of values EAG_COUNTER_*
 * (wire.toml, counter), so that nothing is taken for cycles that is none. */
uint32_t eag_port_clock_hz(void);
/* 64-bit counts since init; call it, or let the port's own tick do so, more often than the
 * hardware counter wraps. [isr] */
uint64_t eag_port_cycles(void);
/* The raw 32-bit counter: what the profiler reads around a step. [isr] */
static inline uint32_t eag_port_cycles32(void);

/* Console. Bytes received during an inference are kept in a ring. */
size_t eag_port_read(uint8_t *bytes, size_t capacity);        /* never waits */
size_t eag_port_write(const uint8_t *bytes, size_t count);    /* bytes taken; never waits */
bool eag_port_write_idle(void);                               /* nothing waits to be sent */
void eag_port_write_flush(void);                              /* until the line is idle */
bool eag_port_can_baud(uint32_t baud);                        /* reachable within 2 % */
void eag_port_set_baud(uint32_t baud);                        /* one that it can */
/* Overruns and ring overflows; UINT32_MAX where nobody counts them. */
uint32_t eag_port_rx_lost(void);
/* A port that keeps fewer bytes than WINDOW of eag_server.c asks for defines EAG_PORT_WINDOW. */

/* From a fault handler, before the last words: from now on eag_port_write() polls the line and
 * takes everything; nothing is interrupted, nothing returns to what ran. */
void eag_port_panic(void);

/* What went wrong at init and was worked around, for the log; NULL: nothing. */
const char *eag_port_trouble(void);

void eag_port_sleep(void);            /* until an interrupt; not at all while bytes wait */
void eag_port_timing_gpio(bool high); /* an edge for a power instrument */
size_t eag_port_uid(uint8_t uid[16]); /* bytes written */
/* Boots since power was lost: counted in memory that a reset leaves alone; 0: not counted. */
uint32_t eag_port_boot_count(void);
uint32_t eag_port_reset_cause(void);  /* see wire.toml, reset_cause */
void eag_port_reset(void) __attribute__((noreturn));

/* Millivolts and tenths of a degree; INT32_MIN where the SoC cannot tell. */
int32_t eag_port_supply_mv(void);
int32_t eag_port_die_decicelsius(void);

/* The stack's bounds, from the linker script; the guard lies just under `stack_limit`. Both at one
 * place: not known. */
extern uint32_t eag_stack_limit[], eag_stack_top[];
/* The port paints the stack before main with this word. */
#define EAG_STACK_PAINT 0xA5A5A5A5u

/* What the runtime gives to the port: its fault handler's last call but the flush and the reset.
 * `frame` is the exception frame (r0-r3, r12, lr, pc, psr), or NULL where the stack held none. */
void eag_on_fault(const uint32_t *frame, uint32_t cfsr, uint32_t hfsr, uint32_t mmfar,
                  uint32_t bfar);

#include "eag_port_inline.h" /* the port's own: eag_port_cycles32 */

#ifdef __cplusplus
}
#endif

#endif
