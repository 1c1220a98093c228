/* The console: USART1 with a ring each way, both by interrupt. The USART has no FIFO, so a byte
 * must be fetched within one byte's time: 10.8 us at 921,600 baud, 2,300 cycles at 216 MHz. Nothing
 * here or in the runtime masks interrupts for longer than a few instructions.
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
static uint32_t pclk_hz;
static bool polling;

static uint32_t divider(uint32_t baud) { return (pclk_hz + baud / 2) / baud; }

bool eag_port_can_baud(uint32_t baud) {
  if (baud < 1200 || baud > pclk_hz / 16) return false;
  uint32_t off = divider(baud) * baud - pclk_hz; /* modulo 2^32: below 0 wraps */
  if ((int32_t)off < 0) off = -off;
  return off <= pclk_hz / 50;
}

void eag_port_set_baud(uint32_t baud) {
  /* BRR may only be written while the USART is off (RM0385 31.8.4). */
  USART1->CR1 = 0;
  USART1->BRR = divider(baud);
  /* TXEIE for what may still wait in the ring; the handler clears it when there is nothing. */
  USART1->CR1 = USART_CR1_UE | USART_CR1_TE | USART_CR1_RE | USART_CR1_RXNEIE | USART_CR1_TXEIE;
}

void console_init(uint32_t clock_hz) {
  pclk_hz = clock_hz / 2;
  pin_alternate(EAG_CONSOLE_TX, 7);
  pin_alternate(EAG_CONSOLE_RX, 7);
  RCC->APB2ENR |= RCC_APB2_USART1;
  RCC->APB2RSTR |= RCC_APB2_USART1; /* the ROM bootloader may have used it */
  RCC->APB2RSTR &= ~RCC_APB2_USART1;
  eag_port_set_baud(EAG_CONSOLE_BAUD);
  NVIC_ISER[USART1_IRQ / 32] = 1u << USART1_IRQ % 32;
}

void usart_handler(void) {
  uint32_t status = USART1->ISR;
  if (status & USART_ISR_RXNE) {
    uint32_t in = rx_in;
    uint8_t byte = (uint8_t)USART1->RDR;
    if (in - rx_out < RX_BYTES) {
      rx_ring[in % RX_BYTES] = byte;
      rx_in = in + 1;
    } else {
      rx_lost++;
    }
  }
  if (status & (USART_ISR_ORE | USART_ISR_NF | USART_ISR_FE | USART_ISR_PE)) {
    /* A damaged byte is passed on, for the frame's CRC to find; a lost one can only be counted. */
    if (status & USART_ISR_ORE) rx_lost++;
    USART1->ICR = USART_ISR_ORE | USART_ISR_NF | USART_ISR_FE | USART_ISR_PE;
  }
  if (status & USART_ISR_TXE) {
    uint32_t out = tx_out;
    if (out != tx_in) {
      USART1->TDR = tx_ring[out % TX_BYTES];
      tx_out = out + 1;
    } else {
      USART1->CR1 &= ~USART_CR1_TXEIE;
    }
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
      wait_for(&USART1->ISR, USART_ISR_TXE, USART_ISR_TXE);
      USART1->TDR = bytes[taken];
    } else {
      uint32_t in = tx_in;
      if (in - tx_out == TX_BYTES) break;
      tx_ring[in % TX_BYTES] = bytes[taken];
      tx_in = in + 1;
    }
  }
  /* The handler clears this bit when it finds the ring empty; should it do so in the middle of
   * this, the bit is set again and the handler looks once more. */
  if (taken && !polling) USART1->CR1 |= USART_CR1_TXEIE;
  return taken;
}

bool eag_port_write_idle(void) { return tx_out == tx_in; }

void eag_port_write_flush(void) {
  while (!polling && !eag_port_write_idle()) eag_port_sleep();
  wait_for(&USART1->ISR, USART_ISR_TC, USART_ISR_TC);
}

void eag_port_panic(void) {
  __asm__ volatile("cpsid i" ::: "memory");
  polling = true;
  USART1->CR1 &= ~(USART_CR1_TXEIE | USART_CR1_RXNEIE);
}

uint32_t eag_port_rx_lost(void) { return rx_lost; }

void eag_port_sleep(void) {
  /* With interrupts masked a byte that arrives after the look at the ring still ends WFI
   * (ARMv7-M B1.5.19), so none is slept over. */
  __asm__ volatile("cpsid i" ::: "memory");
  if (rx_in == rx_out) __asm__ volatile("dsb\n  wfi" ::: "memory");
  __asm__ volatile("cpsie i" ::: "memory");
}
