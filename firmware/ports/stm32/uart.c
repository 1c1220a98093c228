/* The console's UART, without its FIFO where it has one: a byte must be fetched within one byte's
 * time, which is 10.8 us at 921,600 baud: 2,300 cycles at 216 MHz, 1,300 at 120.
 */
#include "eag_early.h"
#include "eag_port.h"
#include "port.h"

#ifndef EAG_CONSOLE_ALTERNATE
#error "[serial.console] alternate: missing; the pins' alternate function, from the data sheet"
#endif

/* An LPUART divides 256 times its clock, and wants at least three clocks a bit (RM0432, LPUART
 * baud rate generation); the others sample a bit 16 times. */
#if CONSOLE_LOW_POWER
#define TIMES 256u
#define DIVIDER_LEAST 0x300u
#define DIVIDER_MOST 0xFFFFFu
#else
#define TIMES 1u
#define DIVIDER_LEAST 16u
#define DIVIDER_MOST 0xFFFFu
#endif

EAG_EARLY static uint32_t divider(uint32_t baud) {
  return (TIMES * console_clock_hz() + baud / 2) / baud;
}

bool eag_port_can_baud(uint32_t baud) {
  if (baud < 1200 || baud > console_clock_hz()) return false;
  uint32_t by = divider(baud), hz = TIMES * console_clock_hz();
  if (by < DIVIDER_LEAST || by > DIVIDER_MOST) return false;
  uint32_t off = by * baud - hz; /* modulo 2^32: below 0 wraps */
  if ((int32_t)off < 0) off = -off;
  return off <= hz / 50;
}

EAG_EARLY static void run_at(uint32_t baud, uint32_t interrupts) {
  /* BRR may only be written while the UART is off (RM0385 31.8.4). */
  CONSOLE_UART->CR1 = 0;
  CONSOLE_UART->BRR = divider(baud);
  CONSOLE_UART->CR1 = UART_CR1_UE | UART_CR1_TE | UART_CR1_RE | interrupts;
}

/* TXEIE for what may still wait in the ring; the handler clears it when there is nothing. */
#define LISTENING (UART_CR1_RXNEIE | UART_CR1_TXEIE)

void eag_port_set_baud(uint32_t baud) { run_at(baud, LISTENING); }

EAG_EARLY void line_open(void) {
  /* A ROM bootloader starts an image with its own pins still set up, perhaps a second receiver pin
   * of this UART among them. */
  pins_reset();
  pin_alternate(EAG_CONSOLE_TX, EAG_CONSOLE_ALTERNATE);
  pin_alternate(EAG_CONSOLE_RX, EAG_CONSOLE_ALTERNATE);
  *CONSOLE_CLOCKS |= 1u << CONSOLE_BIT;
  *CONSOLE_RESETS |= 1u << CONSOLE_BIT; /* the ROM bootloader may have used it */
  *CONSOLE_RESETS &= ~(1u << CONSOLE_BIT);
  run_at(EAG_CONSOLE_BAUD, 0);
}

void line_listen(void) {
  CONSOLE_UART->CR1 |= LISTENING;
  interrupt_on(CONSOLE_IRQ);
}

void uart_handler(void) {
  uint32_t status = CONSOLE_UART->ISR;
  if (status & UART_ISR_RXNE) console_received((uint8_t)CONSOLE_UART->RDR);
  if (status & (UART_ISR_ORE | UART_ISR_NF | UART_ISR_FE | UART_ISR_PE)) {
    /* A damaged byte is passed on, for the frame's CRC to find; a lost one can only be counted. */
    if (status & UART_ISR_ORE) console_lost();
    CONSOLE_UART->ICR = UART_ISR_ORE | UART_ISR_NF | UART_ISR_FE | UART_ISR_PE;
  }
  if (status & UART_ISR_TXE) {
    uint8_t byte;
    if (console_next(&byte))
      CONSOLE_UART->TDR = byte;
    else
      CONSOLE_UART->CR1 &= ~UART_CR1_TXEIE;
  }
  handler_end();
}

EAG_EARLY void line_put(uint8_t byte) {
  wait_for(&CONSOLE_UART->ISR, UART_ISR_TXE, UART_ISR_TXE);
  CONSOLE_UART->TDR = byte;
}

/* The handler clears this bit when it finds the ring empty; should it do so in the middle of this,
 * the bit is set again and the handler looks once more. */
void line_wake(void) { CONSOLE_UART->CR1 |= UART_CR1_TXEIE; }

void line_flush(void) { wait_for(&CONSOLE_UART->ISR, UART_ISR_TC, UART_ISR_TC); }

void line_mute(void) { CONSOLE_UART->CR1 &= ~LISTENING; }
