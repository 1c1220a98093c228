/* The console's UART: the APB UART 0, which holds one byte each way. */
#include "eag_early.h"
#include "eag_port.h"
#include "port.h"

#ifndef EAG_CONSOLE_UART0
#error "[serial.console] peripheral: this port's console is UART0"
#endif

#define FRAME_BITS 10u
#define ON (UART_CTRL_TX | UART_CTRL_RX)
#define LISTENING (ON | UART_CTRL_TX_INTERRUPT | UART_CTRL_RX_INTERRUPT)

EAG_EARLY static uint32_t divider(uint32_t baud) { return (EAG_CLOCK_HZ + baud / 2) / baud; }

bool eag_port_can_baud(uint32_t baud) {
  if (baud < 1200 || baud > EAG_CLOCK_HZ / 16) return false;
  uint32_t off = divider(baud) * baud - EAG_CLOCK_HZ; /* modulo 2^32: below 0 wraps */
  if ((int32_t)off < 0) off = -off;
  return off <= EAG_CLOCK_HZ / 50;
}

void eag_port_set_baud(uint32_t baud) {
  UART0->CTRL = 0;
  UART0->BAUDDIV = divider(baud);
  UART0->CTRL = LISTENING;
}

EAG_EARLY void line_open(void) {
  UART0->CTRL = 0;
  UART0->BAUDDIV = divider(EAG_CONSOLE_BAUD);
  /* Not the receiver: a byte that came before its interrupt is on would never be told. */
  UART0->CTRL = UART_CTRL_TX;
}

void line_listen(void) {
  UART0->CTRL = LISTENING;
  interrupt_on(UART0_RX_IRQ);
  interrupt_on(UART0_TX_IRQ);
}

void on_receive(void) {
  UART0->INTSTATUS = UART_INT_RX;
  uint32_t state = UART0->STATE;
  if (state & UART_STATE_RXOVERRUN) {
    UART0->STATE = UART_STATE_RXOVERRUN;
    console_lost();
  }
  if (state & UART_STATE_RXFULL) console_received((uint8_t)UART0->DATA);
}

/* Hands the UART a byte if it takes one. Its interrupt tells of a buffer that became empty, not of
 * one that is: the first byte after a pause is handed over by who wrote it. */
static void feed(void) {
  uint8_t byte;
  if (!(UART0->STATE & UART_STATE_TXFULL) && console_next(&byte)) UART0->DATA = byte;
}

void on_transmit(void) {
  UART0->INTSTATUS = UART_INT_TX;
  feed();
}

void line_wake(void) {
  uint32_t before = mask();
  feed();
  unmask(before);
}

EAG_EARLY void line_put(uint8_t byte) {
  wait_for(&UART0->STATE, UART_STATE_TXFULL, 0);
  UART0->DATA = byte;
}

void line_flush(void) {
  wait_for(&UART0->STATE, UART_STATE_TXFULL, 0);
  /* The byte has left the buffer, and is on the line for as long as a frame takes. */
  uint32_t begun = ticks();
  while (ticks() - begun < FRAME_BITS * UART0->BAUDDIV) {
  }
}

void line_mute(void) { UART0->CTRL = ON; }
