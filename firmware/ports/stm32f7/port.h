/* Between this port's own files. */
#ifndef EAG_STM32F7_PORT_H
#define EAG_STM32F7_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "eag_board.h"
#include "stm32f7.h"

/* The console's pins and the pin for instruments. A board whose console is USART1 elsewhere
 * (PB6 is its other TX, PA10 its other RX) defines them for the compiler. */
#ifndef EAG_CONSOLE_TX
#define EAG_CONSOLE_TX 'A', 9
#endif
#ifndef EAG_CONSOLE_RX
#define EAG_CONSOLE_RX 'B', 7
#endif
#ifndef EAG_TIMING_PIN
#define EAG_TIMING_PIN 'G', 6 /* Arduino D2 on the DISCO */
#endif

/* To the clock the board file asks for; gives the core clock reached, and in `trouble` what kept
 * it from more. */
uint32_t clock_init(const char **trouble);

/* Waits until `*at & mask` is `value`; false when that takes more than 0.4 s on the HSI, 30 ms at
 * full speed: many times what anything here needs. */
bool wait_for(reg *at, uint32_t mask, uint32_t value);

void pin_alternate(char letter, uint32_t pin, uint32_t function);
void pin_output(char letter, uint32_t pin);

void console_init(uint32_t clock_hz);
void usart_handler(void);
void systick_handler(void);

/* Kept over a reset, in memory that nobody initialises. */
void boot_count_init(void);
void boot_note_fault(void);

#endif
