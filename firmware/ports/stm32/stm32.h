/* What the ports of STM32 families share: pins, and UARTs of the kind with ISR and TDR (F0, F3, F7,
 * L4 and later). The port's own header of registers gives, for its family:
 *
 *   GPIO(letter)                    gpio_registers *
 *   GPIO_CLOCKS, GPIO_RESETS        reg *, each with a bit for each port, A in bit 0
 *   GPIO_ALL                        all bits of GPIO_RESETS
 *   FACTORY_UID                     three words
 *   CONSOLE_UART, CONSOLE_IRQ       the UART that the board file names: uart_registers *, and number
 *   CONSOLE_CLOCKS, CONSOLE_RESETS  reg * of its bus, and CONSOLE_BIT, its bit in them
 *   CONSOLE_LOW_POWER               1: an LPUART, whose divider counts 256ths
 */
#ifndef EAG_STM32_H
#define EAG_STM32_H

#include "cortex_m.h"
#include "eag_board.h"

/* RM0385 6.4; the same in all families here */
typedef struct {
  reg MODER, OTYPER, OSPEEDR, PUPDR, IDR, ODR, BSRR, LCKR, AFR[2];
} gpio_registers;

/* RM0385 31.8 */
typedef struct {
  reg CR1, CR2, CR3, BRR, GTPR, RTOR, RQR, ISR, ICR, RDR, TDR;
} uart_registers;
#define UART_CR1_UE (1u << 0)
#define UART_CR1_RE (1u << 2)
#define UART_CR1_TE (1u << 3)
#define UART_CR1_RXNEIE (1u << 5)
#define UART_CR1_TXEIE (1u << 7)
#define UART_ISR_PE (1u << 0)
#define UART_ISR_FE (1u << 1)
#define UART_ISR_NF (1u << 2)
#define UART_ISR_ORE (1u << 3)
#define UART_ISR_RXNE (1u << 5)
#define UART_ISR_TC (1u << 6)
#define UART_ISR_TXE (1u << 7)

_Static_assert(offsetof(uart_registers, TDR) == 0x28, "UART_TDR");

/* After what a bootloader or a debugger set up: every pin as at reset. */
void pins_reset(void);
void pin_alternate(char letter, uint32_t pin, uint32_t function);
/* The pin for instruments, where the board has one. */
void timing_pin_open(void);

/* The clock that the console's UART divides. Given by the port. */
uint32_t console_clock_hz(void);
void uart_handler(void);

#endif
