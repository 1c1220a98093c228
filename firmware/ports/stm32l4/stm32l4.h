/* Registers of the STM32L4+ (L4R5 and its like), those that this port uses. From RM0432; its
 * chapters are named, since their numbers move between revisions. Offsets are checked below.
 */
#ifndef EAG_STM32L4_H
#define EAG_STM32L4_H

#include "stm32.h"

/* RM0432, RCC registers */
typedef struct {
  reg CR, ICSCR, CFGR, PLLCFGR, PLLSAI1CFGR, PLLSAI2CFGR, CIER, CIFR, CICR, unused1;
  reg AHB1RSTR, AHB2RSTR, AHB3RSTR, unused2, APB1RSTR1, APB1RSTR2, APB2RSTR, unused3;
  reg AHB1ENR, AHB2ENR, AHB3ENR, unused4, APB1ENR1, APB1ENR2, APB2ENR, unused5;
  reg AHB1SMENR, AHB2SMENR, AHB3SMENR, unused6, APB1SMENR1, APB1SMENR2, APB2SMENR, unused7;
  reg CCIPR, unused8, BDCR, CSR;
} rcc_registers;
#define RCC ((rcc_registers *)0x40021000)
#define RCC_CR_HSION (1u << 8)
#define RCC_CR_HSIRDY (1u << 10)
#define RCC_CR_HSEON (1u << 16)
#define RCC_CR_HSERDY (1u << 17)
#define RCC_CR_HSEBYP (1u << 18)
#define RCC_CR_PLLON (1u << 24)
#define RCC_CR_PLLRDY (1u << 25)
#define RCC_CR_ALL_PLLON (1u << 24 | 1u << 26 | 1u << 28)
#define RCC_CR_ALL_PLLRDY (1u << 25 | 1u << 27 | 1u << 29)
#define RCC_CFGR_SW 3u
#define RCC_CFGR_SW_HSI 1u
#define RCC_CFGR_SW_PLL 3u
#define RCC_CFGR_SWS (3u << 2)
#define RCC_CFGR_HPRE_2 (8u << 4)
#define RCC_PLLCFGR_HSI 2u
#define RCC_PLLCFGR_HSE 3u
#define RCC_PLLCFGR_REN (1u << 24) /* with R = 2: the system clock's output */
#define RCC_AHB2_ADC (1u << 13)
#define RCC_APB1_PWR (1u << 28)
#define RCC_CCIPR_UARTS 0xFFFu           /* 0: their bus's clock */
#define RCC_CCIPR_LPUART1_HSI (2u << 10)
#define RCC_CSR_RMVF (1u << 23)
#define RCC_CSR_PINRSTF (1u << 26)
#define RCC_CSR_BORRSTF (1u << 27) /* power-on too */
#define RCC_CSR_SFTRSTF (1u << 28)
#define RCC_CSR_IWDGRSTF (1u << 29)
#define RCC_CSR_WWDGRSTF (1u << 30)

/* RM0432, PWR registers */
typedef struct {
  reg CR1, CR2, CR3, CR4, SR1, SR2, SCR, unused1, PULLS[18], unused2[6], CR5;
} pwr_registers;
#define PWR ((pwr_registers *)0x40007000)
#define PWR_CR1_VOS (3u << 9)
#define PWR_CR1_VOS_1 (1u << 9)
#define PWR_CR2_IOSV (1u << 9)
#define PWR_SR2_VOSF (1u << 10)
#define PWR_CR5_R1MODE (1u << 8) /* 0: boost */

/* RM0432, FLASH_ACR */
typedef struct {
  reg ACR;
} flash_registers;
#define FLASH ((flash_registers *)0x40022000)
#define FLASH_ACR_LATENCY 15u
#define FLASH_ACR_PRFTEN (1u << 8)
#define FLASH_ACR_ICEN (1u << 9)
#define FLASH_ACR_DCEN (1u << 10)
#define FLASH_ACR_ICRST (1u << 11)
#define FLASH_ACR_DCRST (1u << 12)

/* RM0432, memory map */
#define GPIO(letter) ((gpio_registers *)(0x48000000 + 0x400 * ((letter) - 'A')))
#define GPIO_CLOCKS (&RCC->AHB2ENR)
#define GPIO_RESETS (&RCC->AHB2RSTR)
#define GPIO_ALL 0x1FFu /* A to I */

/* The console's UART: its registers (RM0432, memory map), its interrupt (NVIC, vector table), and
 * its bus (1, 2, or 3 for APB1's second pair of registers) with its bit in the bus's clock and
 * reset registers. */
#define CONSOLE(base, irq, bus, bit) \
  CONSOLE_BASE = base, CONSOLE_IRQ = irq, CONSOLE_BUS = bus, CONSOLE_BIT = bit
enum {
#if defined EAG_CONSOLE_LPUART1
#define CONSOLE_LOW_POWER 1
  CONSOLE(0x40008000, 70, 3, 0)
#elif defined EAG_CONSOLE_USART1
  CONSOLE(0x40013800, 37, 2, 14)
#elif defined EAG_CONSOLE_USART2
  CONSOLE(0x40004400, 38, 1, 17)
#elif defined EAG_CONSOLE_USART3
  CONSOLE(0x40004800, 39, 1, 18)
#elif defined EAG_CONSOLE_UART4
  CONSOLE(0x40004C00, 52, 1, 19)
#elif defined EAG_CONSOLE_UART5
  CONSOLE(0x40005000, 53, 1, 20)
#else
#error "[serial.console] peripheral: port stm32l4 knows LPUART1, USART1, 2, 3 and UART4, 5"
#endif
};
#ifndef CONSOLE_LOW_POWER
#define CONSOLE_LOW_POWER 0
#endif
#define CONSOLE_UART ((uart_registers *)CONSOLE_BASE)
#define CONSOLE_CLOCKS \
  (CONSOLE_BUS == 1 ? &RCC->APB1ENR1 : CONSOLE_BUS == 2 ? &RCC->APB2ENR : &RCC->APB1ENR2)
#define CONSOLE_RESETS \
  (CONSOLE_BUS == 1 ? &RCC->APB1RSTR1 : CONSOLE_BUS == 2 ? &RCC->APB2RSTR : &RCC->APB1RSTR2)

/* RM0432, ADC registers; the common ones lie 0x300 behind ADC1's */
typedef struct {
  reg ISR, IER, CR, CFGR, CFGR2, SMPR[2], unused1, TR[3], unused2, SQR[4], DR;
} adc_registers;
#define ADC1 ((adc_registers *)0x50040000)
#define ADC_CCR (*(reg *)0x50040308)
#define ADC_ISR_ADRDY (1u << 0)
#define ADC_ISR_EOC (1u << 2)
#define ADC_CR_ADEN (1u << 0)
#define ADC_CR_ADSTART (1u << 2)
#define ADC_CR_ADVREGEN (1u << 28)
#define ADC_CR_ADCAL (1u << 31)
#define ADC_CCR_HCLK_4 (3u << 16)
#define ADC_CCR_VREFEN (1u << 22)
#define ADC_CCR_TSEN (1u << 23)

/* DS12023, tables of the internal reference and of the temperature sensor; RM0432, device
 * electronic signature: written at the factory, at 3.0 V */
#define FACTORY_VREFINT (*(const volatile uint16_t *)0x1FFF75AA)
#define FACTORY_TEMPERATURE_30 (*(const volatile uint16_t *)0x1FFF75A8)
#define FACTORY_TEMPERATURE_130 (*(const volatile uint16_t *)0x1FFF75CA)
#define FACTORY_UID ((const volatile uint32_t *)0x1FFF7590) /* three words */

_Static_assert(offsetof(rcc_registers, AHB2RSTR) == 0x2C, "RCC_AHB2RSTR");
_Static_assert(offsetof(rcc_registers, AHB1ENR) == 0x48, "RCC_AHB1ENR");
_Static_assert(offsetof(rcc_registers, APB1ENR2) == 0x5C, "RCC_APB1ENR2");
_Static_assert(offsetof(rcc_registers, CCIPR) == 0x88, "RCC_CCIPR");
_Static_assert(offsetof(rcc_registers, CSR) == 0x94, "RCC_CSR");
_Static_assert(offsetof(pwr_registers, SR2) == 0x14, "PWR_SR2");
_Static_assert(offsetof(pwr_registers, CR5) == 0x80, "PWR_CR5");
_Static_assert(offsetof(adc_registers, SQR) == 0x30, "ADC_SQR1");
_Static_assert(offsetof(adc_registers, DR) == 0x40, "ADC_DR");

#endif
