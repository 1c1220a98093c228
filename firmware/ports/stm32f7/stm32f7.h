/* Registers of the STM32F74x, those that this port uses. From RM0385 (rev 8); offsets are checked
 * below.
 */
#ifndef EAG_STM32F7_H
#define EAG_STM32F7_H

#include "stm32.h"

/* RM0385 5.3 */
typedef struct {
  reg CR, PLLCFGR, CFGR, CIR;
  reg AHB1RSTR, AHB2RSTR, AHB3RSTR, unused1, APB1RSTR, APB2RSTR, unused2[2];
  reg AHB1ENR, AHB2ENR, AHB3ENR, unused3, APB1ENR, APB2ENR, unused4[2];
  reg AHB1LPENR, AHB2LPENR, AHB3LPENR, unused5, APB1LPENR, APB2LPENR, unused6[2];
  reg BDCR, CSR, unused7[2], SSCGR, PLLI2SCFGR, PLLSAICFGR, DCKCFGR1, DCKCFGR2;
} rcc_registers;
#define RCC ((rcc_registers *)0x40023800)
#define RCC_CR_HSION (1u << 0)
#define RCC_CR_HSIRDY (1u << 1)
#define RCC_CR_HSEON (1u << 16)
#define RCC_CR_HSERDY (1u << 17)
#define RCC_CR_HSEBYP (1u << 18)
#define RCC_CR_PLLON (1u << 24)
#define RCC_CR_PLLRDY (1u << 25)
#define RCC_PLLCFGR_HSE (1u << 22)
#define RCC_CFGR_SW_PLL 2u
#define RCC_CFGR_SW 3u
#define RCC_CFGR_SWS (3u << 2)
#define RCC_CFGR_PPRE1_4 (5u << 10)
#define RCC_CFGR_PPRE2_2 (4u << 13)
#define RCC_APB1_PWR (1u << 28)
#define RCC_APB2_ADC1 (1u << 8)
#define RCC_DCKCFGR2_UARTS 0xFFFFu /* 0: their bus's clock */
#define RCC_CSR_RMVF (1u << 24)
#define RCC_CSR_BORRSTF (1u << 25)
#define RCC_CSR_PINRSTF (1u << 26)
#define RCC_CSR_PORRSTF (1u << 27)
#define RCC_CSR_SFTRSTF (1u << 28)
#define RCC_CSR_IWDGRSTF (1u << 29)
#define RCC_CSR_WWDGRSTF (1u << 30)

/* RM0385 4.4 */
typedef struct {
  reg CR1, CSR1;
} pwr_registers;
#define PWR ((pwr_registers *)0x40007000)
#define PWR_CR1_VOS_1 (3u << 14)
#define PWR_CR1_ODEN (1u << 16)
#define PWR_CR1_ODSWEN (1u << 17)
#define PWR_CSR1_ODRDY (1u << 16)
#define PWR_CSR1_ODSWRDY (1u << 17)

/* RM0385 3.7 */
typedef struct {
  reg ACR;
} flash_registers;
#define FLASH ((flash_registers *)0x40023C00)
#define FLASH_ACR_PRFTEN (1u << 8)
#define FLASH_ACR_ARTEN (1u << 9)

/* RM0385 2.2.2 */
#define GPIO(letter) ((gpio_registers *)(0x40020000 + 0x400 * ((letter) - 'A')))
#define GPIO_CLOCKS (&RCC->AHB1ENR)
#define GPIO_RESETS (&RCC->AHB1RSTR)
#define GPIO_ALL 0x7FFu /* A to K */

/* The console's UART: its registers (RM0385 2.2.2), its interrupt (table 46), and its bus with its
 * bit in the bus's clock and reset registers (5.3.13, 5.3.14). */
#define CONSOLE(base, irq, bus, bit) \
  CONSOLE_BASE = base, CONSOLE_IRQ = irq, CONSOLE_BUS = bus, CONSOLE_BIT = bit
enum {
#if defined EAG_CONSOLE_USART1
  CONSOLE(0x40011000, 37, 2, 4)
#elif defined EAG_CONSOLE_USART2
  CONSOLE(0x40004400, 38, 1, 17)
#elif defined EAG_CONSOLE_USART3
  CONSOLE(0x40004800, 39, 1, 18)
#elif defined EAG_CONSOLE_UART4
  CONSOLE(0x40004C00, 52, 1, 19)
#elif defined EAG_CONSOLE_UART5
  CONSOLE(0x40005000, 53, 1, 20)
#elif defined EAG_CONSOLE_USART6
  CONSOLE(0x40011400, 71, 2, 5)
#elif defined EAG_CONSOLE_UART7
  CONSOLE(0x40007800, 82, 1, 30)
#elif defined EAG_CONSOLE_UART8
  CONSOLE(0x40007C00, 83, 1, 31)
#else
#error "[serial.console] peripheral: port stm32f7 knows USART1, 2, 3, 6 and UART4, 5, 7, 8"
#endif
};
#define CONSOLE_UART ((uart_registers *)CONSOLE_BASE)
#define CONSOLE_CLOCKS (CONSOLE_BUS == 1 ? &RCC->APB1ENR : &RCC->APB2ENR)
#define CONSOLE_RESETS (CONSOLE_BUS == 1 ? &RCC->APB1RSTR : &RCC->APB2RSTR)
/* APB1 runs at a quarter of the core's clock, APB2 at half of it; see clock.c. */
#define CONSOLE_DIVIDER (CONSOLE_BUS == 1 ? 4 : 2)
#define CONSOLE_LOW_POWER 0

/* RM0385 15.13 */
typedef struct {
  reg SR, CR1, CR2, SMPR[2], JOFR[4], HTR, LTR, SQR1, SQR2, SQR3, JSQR, JDR[4], DR;
} adc_registers;
#define ADC1 ((adc_registers *)0x40012000)
#define ADC_CCR (*(reg *)0x40012304)
#define ADC_SR_EOC (1u << 1)
#define ADC_CR2_ADON (1u << 0)
#define ADC_CR2_SWSTART (1u << 30)
#define ADC_CCR_ADCPRE_4 (1u << 16)
#define ADC_CCR_TSVREFE (1u << 23)

/* DS10916 tables 69 and 72, RM0385 41.1: written at the factory, at 3.3 V */
#define FACTORY_VREFINT (*(const volatile uint16_t *)0x1FF0F44A)
#define FACTORY_TEMPERATURE_30 (*(const volatile uint16_t *)0x1FF0F44C)
#define FACTORY_TEMPERATURE_110 (*(const volatile uint16_t *)0x1FF0F44E)
#define FACTORY_UID ((const volatile uint32_t *)0x1FF0F420) /* three words */

_Static_assert(offsetof(rcc_registers, AHB1ENR) == 0x30, "RCC_AHB1ENR");
_Static_assert(offsetof(rcc_registers, CSR) == 0x74, "RCC_CSR");
_Static_assert(offsetof(rcc_registers, DCKCFGR2) == 0x90, "RCC_DCKCFGR2");
_Static_assert(offsetof(adc_registers, SQR3) == 0x34, "ADC_SQR3");
_Static_assert(offsetof(adc_registers, DR) == 0x4C, "ADC_DR");

#endif
