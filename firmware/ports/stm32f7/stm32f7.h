/* Registers of the STM32F74x and of its Cortex-M7, those that this port uses. From RM0385 (rev 8)
 * and the ARMv7-M Architecture Reference Manual (DDI 0403); offsets are checked below.
 */
#ifndef EAG_STM32F7_H
#define EAG_STM32F7_H

#include <stddef.h>
#include <stdint.h>

typedef volatile uint32_t reg;

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
#define RCC_AHB1_GPIO(letter) (1u << ((letter) - 'A'))
#define RCC_AHB1_ALL_GPIO 0x7FFu /* A to K */
#define RCC_APB1_PWR (1u << 28)
#define RCC_APB2_USART1 (1u << 4)
#define RCC_APB2_ADC1 (1u << 8)
#define RCC_DCKCFGR2_USART1 3u /* 0: PCLK2 */
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

/* RM0385 6.4 */
typedef struct {
  reg MODER, OTYPER, OSPEEDR, PUPDR, IDR, ODR, BSRR, LCKR, AFR[2];
} gpio_registers;
#define GPIO(letter) ((gpio_registers *)(0x40020000 + 0x400 * ((letter) - 'A')))

/* RM0385 31.8 */
typedef struct {
  reg CR1, CR2, CR3, BRR, GTPR, RTOR, RQR, ISR, ICR, RDR, TDR;
} usart_registers;
#define USART1 ((usart_registers *)0x40011000)
#define USART1_IRQ 37
#define USART_CR1_UE (1u << 0)
#define USART_CR1_RE (1u << 2)
#define USART_CR1_TE (1u << 3)
#define USART_CR1_RXNEIE (1u << 5)
#define USART_CR1_TXEIE (1u << 7)
#define USART_ISR_PE (1u << 0)
#define USART_ISR_FE (1u << 1)
#define USART_ISR_NF (1u << 2)
#define USART_ISR_ORE (1u << 3)
#define USART_ISR_RXNE (1u << 5)
#define USART_ISR_TC (1u << 6)
#define USART_ISR_TXE (1u << 7)

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

/* DDI 0403 B3.2.2: from the system control block's ICSR on */
typedef struct {
  reg ICSR, VTOR, AIRCR, SCR, CCR, SHPR[3], SHCSR, CFSR, HFSR, DFSR, MMFAR, BFAR, AFSR;
  reg identification[14], CLIDR, CTR, CCSIDR, CSSELR, CPACR;
} scb_registers;
#define SCB ((scb_registers *)0xE000ED04)
#define SCB_ICSR_PENDSTCLR (1u << 25)
#define SCB_ICSR_PENDSTSET (1u << 26)
#define SCB_ICSR_PENDSVCLR (1u << 27)
#define SCB_AIRCR_RESET 0x05FA0004u
#define SCB_CCR_IC (1u << 17)
#define SCB_CCR_DC (1u << 16)
#define SCB_CFSR_MSTKERR (1u << 4)
#define SCB_CFSR_STKERR (1u << 12)
#define SCB_ICIALLU (*(reg *)0xE000EF50)
#define SCB_DCISW (*(reg *)0xE000EF60)

/* B3.3.2 */
typedef struct {
  reg CSR, RVR, CVR;
} systick_registers;
#define SYSTICK ((systick_registers *)0xE000E010)
#define SYSTICK_LARGEST 0xFFFFFFu

/* B3.4.3 */
#define NVIC_ISER ((reg *)0xE000E100)
#define NVIC_ICER ((reg *)0xE000E180)
#define NVIC_ICPR ((reg *)0xE000E280)

/* B3.5.4 */
typedef struct {
  reg TYPE, CTRL, RNR, RBAR, RASR;
} mpu_registers;
#define MPU ((mpu_registers *)0xE000ED90)
#define MPU_CTRL_ENABLE (1u << 0)
#define MPU_CTRL_PRIVDEFENA (1u << 2)
#define MPU_RBAR_VALID (1u << 4)
#define MPU_RASR_ENABLE (1u << 0)
#define MPU_RASR_SIZE_32 (4u << 1)
#define MPU_RASR_XN (1u << 28)

/* C1.6.5, C1.8 */
#define DEMCR (*(reg *)0xE000EDFC)
#define DEMCR_TRCENA (1u << 24)
#define DWT_CTRL (*(reg *)0xE0001000)
#define DWT_CYCCNT (*(reg *)0xE0001004)
#define DWT_LAR (*(reg *)0xE0001FB0)
#define DWT_LAR_KEY 0xC5ACCE55u

_Static_assert(offsetof(rcc_registers, AHB1ENR) == 0x30, "RCC_AHB1ENR");
_Static_assert(offsetof(rcc_registers, CSR) == 0x74, "RCC_CSR");
_Static_assert(offsetof(rcc_registers, DCKCFGR2) == 0x90, "RCC_DCKCFGR2");
_Static_assert(offsetof(usart_registers, TDR) == 0x28, "USART_TDR");
_Static_assert(offsetof(adc_registers, SQR3) == 0x34, "ADC_SQR3");
_Static_assert(offsetof(adc_registers, DR) == 0x4C, "ADC_DR");
_Static_assert(offsetof(scb_registers, CPACR) == 0xD88 - 0xD04, "CPACR");

static inline void barrier(void) { __asm__ volatile("dsb\n  isb" ::: "memory"); }

#endif
