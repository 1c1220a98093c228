/* The console: a ring each way between the runtime and the line's interrupt. Nothing here or in the
 * runtime masks interrupts for longer than a few instructions, since a UART may hold one byte only.
 */
#include "cortex_m.h"
#include "eag_port.h"

/* The runtime promises the host a window of requests; all of them fit while an inference runs. */
#define RX_BYTES 4096u
#define TX_BYTES 1024u

#define RINGS __attribute__((section(".bss.eag_rings")))
/* Volatile like their counts, so that no compiler moves a byte past the count that hands it over. */
static volatile uint8_t rx_ring[RX_BYTES] RINGS;
static volatile uint8_t tx_ring[TX_BYTES] RINGS;
/* Counts of bytes put in and taken out; their difference is what waits. */
static volatile uint32_t rx_in, rx_out, tx_in, tx_out, rx_lost;
static bool polling;

void console_init(void) {
  line_open();
  line_listen();
}

void console_received(uint8_t byte) {
  uint32_t in = rx_in;
  if (in - rx_out < RX_BYTES) {
    rx_ring[in % RX_BYTES] = byte;
    rx_in = in + 1;
  } else {
    rx_lost++;
  }
}

void console_lost(void) { rx_lost++; }

bool console_next(uint8_t *byte) {
  uint32_t out = tx_out;
  if (out == tx_in) return false;
  *byte = tx_ring[out % TX_BYTES];
  tx_out = out + 1;
  return true;
}

size_t eag_port_read(uint8_t *bytes, size_t capacity) {
  size_t count = 0;
  uint32_t out = rx_out;
  while (count < capacity && out != rx_in) bytes[count++] = rx_ring[out++ % RX_BYTES];
  rx_out = out;
  return count;
}

size_t eag_port_write(const uint8_t *bytes, size_t count) {
  size_t taken = 0;
  for (; taken < count; taken++) {
    if (polling) {
      line_put(bytes[taken]);
    } else {
      uint32_t in = tx_in;
      if (in - tx_out == TX_BYTES) break;
      tx_ring[in % TX_BYTES] = bytes[taken];
      tx_in = in + 1;
    }
  }
  if (taken && !polling) line_wake();
  return taken;
}

bool eag_port_write_idle(void) { return tx_out == tx_in; }

void eag_port_write_flush(void) {
  while (!polling && !eag_port_write_idle()) eag_port_sleep();
  line_flush();
}

void eag_port_panic(void) {
  __asm__ volatile("cpsid i" ::: "memory");
  polling = true;
  line_mute();
}

uint32_t eag_port_rx_lost(void) { return rx_lost; }

void eag_port_sleep(void) {
  /* With interrupts masked a byte that arrives after the look at the ring still ends WFI
   * (ARMv7-M B1.5.19), so none is slept over. */
  __asm__ volatile("cpsid i" ::: "memory");
  if (rx_in == rx_out) __asm__ volatile("dsb\n  wfi" ::: "memory");
  __asm__ volatile("cpsie i" ::: "memory");
}
