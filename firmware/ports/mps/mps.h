/* Registers of the two FPGA images that this port boots, those that it uses: AN500 (a Cortex-M7 on
 * an MPS2+) and AN547 (a Cortex-M55 in an SSE-300 on an MPS3, whose Secure addresses these are).
 * From Arm's application notes of those numbers, the Cortex-M System Design Kit's manual (DDI 0479:
 * UART, timer) and the SSE-123's (101370: system counter).
 */
#ifndef EAG_MPS_H
#define EAG_MPS_H

#include "cortex_m.h"

/* DDI 0479 4.4 */
typedef struct {
  reg DATA, STATE, CTRL, INTSTATUS, BAUDDIV;
} uart_registers;
#define UART_STATE_TXFULL (1u << 0)
#define UART_STATE_RXFULL (1u << 1)
#define UART_STATE_RXOVERRUN (1u << 3)
#define UART_CTRL_TX (1u << 0)
#define UART_CTRL_RX (1u << 1)
#define UART_CTRL_TX_INTERRUPT (1u << 2)
#define UART_CTRL_RX_INTERRUPT (1u << 3)
#define UART_INT_TX (1u << 0)
#define UART_INT_RX (1u << 1)

#if __ARM_ARCH >= 8 /* AN547 */
#define UART0 ((uart_registers *)0x59303000)
#define UART0_RX_IRQ 33
#define UART0_TX_IRQ 34
#define FPGAIO_LED (*(reg *)0x59302000)
/* The system counter: 64 bits upward at 32 MHz once it is enabled. Its lower word is enough. */
#define COUNTER_CONTROL (*(reg *)0x58100000)
#define COUNTER_ADDRESS 0x58101000
#define COUNTER_DOWN 0
#else /* AN500 */
#define UART0 ((uart_registers *)0x40004000)
#define UART0_RX_IRQ 0
#define UART0_TX_IRQ 1
#define FPGAIO_LED (*(reg *)0x40028000)
/* The APB timer 0: 32 bits downward at 25 MHz. */
typedef struct {
  reg CTRL, VALUE, RELOAD;
} timer_registers;
#define TIMER0 ((timer_registers *)0x40000000)
#define COUNTER_ADDRESS 0x40000004
#define COUNTER_DOWN 1
#endif

#define COUNTER (*(reg *)COUNTER_ADDRESS)

#endif
