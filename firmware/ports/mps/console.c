/* The console: the APB UART 0 with a ring each way, both by interrupt. The UART holds one byte each
 * way, so a byte must be fetched within one byte's time.
 */
#include "eag_port.h"
#include "port.h"

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

#define FRAME_BITS 10u

static uint32_t divider(uint32_t baud) { return (EAG_CLOCK_HZ + baud / 2) / baud; }

bool eag_port_can_baud(uint32_t baud) {
  if (baud < 1200 || baud > EAG_CLOCK_HZ / 16) return false;
  uint32_t off = divider(baud) * baud - EAG_CLOCK_HZ; /* modulo 2^32: below 0 wraps */
  if ((int32_t)off < 0) off = -off;
  return off <= EAG_CLOCK_HZ / 50;
}

void eag_port_set_baud(uint32_t baud) {
  UART0->CTRL = 0;
  UART0->BAUDDIV = divider(baud);
  UART0->CTRL =
      UART_CTRL_TX | UART_CTRL_RX | UART_CTRL_TX_INTERRUPT | UART_CTRL_RX_INTERRUPT;
}

void console_init(void) {
  eag_port_set_baud(EAG_CONSOLE_BAUD);
  NVIC_ISER[UART0_RX_IRQ / 32] = 1u << UART0_RX_IRQ % 32;
  NVIC_ISER[UART0_TX_IRQ / 32] = 1u << UART0_TX_IRQ % 32;
}

void on_receive(void) {
  UART0->INTSTATUS = UART_INT_RX;
  uint32_t state = UART0->STATE;
  if (state & UART_STATE_RXOVERRUN) {
    UART0->STATE = UART_STATE_RXOVERRUN;
    rx_lost++;
  }
  if (!(state & UART_STATE_RXFULL)) return;
  uint32_t in = rx_in;
  uint8_t byte = (uint8_t)UART0->DATA;
  if (in - rx_out < RX_BYTES) {
    rx_ring[in % RX_BYTES] = byte;
    rx_in = in + 1;
  } else {
    rx_lost++;
  }
}

/* Hands the UART a byte if it takes one. Its interrupt tells of a buffer that became empty, not of
 * one that is: the first byte after a pause is handed over by who wrote it. */
static void feed(void) {
  uint32_t out = tx_out;
  if (out == tx_in || (UART0->STATE & UART_STATE_TXFULL)) return;
  tx_out = out + 1;
  UART0->DATA = tx_ring[out % TX_BYTES];
}

void on_transmit(void) {
  UART0->INTSTATUS = UART_INT_TX;
  feed();
}

/* Waits until the UART takes a byte, but not for ever: a fault's report must come to its end. */
static void wait_for_room(void) {
  uint32_t begun = ticks();
  while ((UART0->STATE & UART_STATE_TXFULL) && ticks() - begun < EAG_CLOCK_HZ / 10) {
  }
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
      wait_for_room();
      UART0->DATA = bytes[taken];
    } else {
      uint32_t in = tx_in;
      if (in - tx_out == TX_BYTES) break;
      tx_ring[in % TX_BYTES] = bytes[taken];
      tx_in = in + 1;
    }
  }
  if (taken && !polling) {
    uint32_t before = mask();
    feed();
    unmask(before);
  }
  return taken;
}

bool eag_port_write_idle(void) { return tx_out == tx_in; }

void eag_port_write_flush(void) {
  while (!polling && !eag_port_write_idle()) eag_port_sleep();
  wait_for_room();
  /* The byte has left the buffer, and is on the line for as long as a frame takes. */
  uint32_t begun = ticks();
  while (ticks() - begun < FRAME_BITS * UART0->BAUDDIV) {
  }
}

void eag_port_panic(void) {
  __asm__ volatile("cpsid i" ::: "memory");
  polling = true;
  UART0->CTRL = UART_CTRL_TX;
}

uint32_t eag_port_rx_lost(void) { return rx_lost; }

void eag_port_sleep(void) {
  /* With interrupts masked a byte that arrives after the look at the ring still ends WFI
   * (ARMv7-M B1.5.19), so none is slept over. */
  __asm__ volatile("cpsid i" ::: "memory");
  if (rx_in == rx_out) __asm__ volatile("dsb\n  wfi" ::: "memory");
  __asm__ volatile("cpsie i" ::: "memory");
}
