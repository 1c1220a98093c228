/* Between this port's own files, and to the shared ones. */
#ifndef EAG_STM32F7_PORT_H
#define EAG_STM32F7_PORT_H

#include "stm32.h"
#include "stm32f7.h"

#define PORT_INTERRUPTS \
  [16 ... 16 + CONSOLE_IRQ - 1] = fault, [16 + CONSOLE_IRQ] = uart_handler

/* To the clock the board file asks for; gives the core clock reached, and in `trouble` what kept
 * it from more. */
uint32_t clock_init(const char **trouble);

#endif
