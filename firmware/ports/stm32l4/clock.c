/* The clock tree, as RM0432 asks for it (RCC; PWR, dynamic voltage scaling management; FLASH, read
 * access latency).
 */
#include "eag_early.h"
#include "port.h"

#define HSI_HZ 16000000u

/* 4 MHz into the PLL, whose VCO gives 64 to 344 MHz; the system clock is VCO / 2. */
#define PLL(oscillator) \
  (RCC_PLLCFGR_REN | ((oscillator) / 4000000u - 1) << 4 | (EAG_CLOCK_HZ / 2000000u) << 8)
_Static_assert(EAG_OSCILLATOR_HZ % 4000000u == 0 && EAG_OSCILLATOR_HZ >= 4000000u &&
                   EAG_OSCILLATOR_HZ <= 48000000u,
               "the PLL takes its 4 MHz from a multiple of it");
_Static_assert(!EAG_OSCILLATOR_INTERNAL || EAG_OSCILLATOR_HZ == HSI_HZ,
               "the internal oscillator here is the HSI16; the MSI drifts too far for a UART");
_Static_assert(EAG_CLOCK_HZ % 2000000u == 0 && EAG_CLOCK_HZ > 80000000u &&
                   EAG_CLOCK_HZ <= 120000000u,
               "boost mode and five wait states are set up for 80 to 120 MHz");

/* A step over 80 MHz, either way, is taken in two: half the clock first, and all of it when the
 * regulator has followed, a microsecond later. */
EAG_EARLY static void switch_to(uint32_t source) {
  RCC->CFGR |= RCC_CFGR_HPRE_2;
  RCC->CFGR = (RCC->CFGR & ~RCC_CFGR_SW) | source;
  wait_for(&RCC->CFGR, RCC_CFGR_SWS, source << 2);
  for (uint32_t left = EAG_CLOCK_HZ / 1000000u; left; left--) __asm__ volatile("");
  RCC->CFGR = source; /* all buses at the core's clock */
}

/* False leaves the HSI as the system clock. */
EAG_EARLY static bool start_pll(uint32_t configuration) {
  RCC->PLLCFGR = configuration;
  RCC->CR |= RCC_CR_PLLON;
  if (!wait_for(&RCC->CR, RCC_CR_PLLRDY, RCC_CR_PLLRDY)) return false;
  switch_to(RCC_CFGR_SW_PLL);
  return true;
}

static const char no_hse[] EAG_EARLY_DATA = "no HSE: HSI, 1 % off";
static const char no_pll[] EAG_EARLY_DATA = "no PLL: 16 MHz";

EAG_EARLY uint32_t clock_init(const char **trouble) {
  /* To the HSI first, wherever a bootloader or a debugger left it; an LPUART keeps it. */
  RCC->CR |= RCC_CR_HSION;
  wait_for(&RCC->CR, RCC_CR_HSIRDY, RCC_CR_HSIRDY);
  switch_to(RCC_CFGR_SW_HSI);
  /* The bypass can only change once HSE is off. */
  RCC->CR &= ~(RCC_CR_ALL_PLLON | RCC_CR_HSEON);
  wait_for(&RCC->CR, RCC_CR_ALL_PLLRDY | RCC_CR_HSERDY, 0);
  RCC->CR &= ~RCC_CR_HSEBYP;
  RCC->CIER = 0;
  /* The LPUART's divider has 20 bits for 256ths: from 120 MHz it reaches down to 29,300 baud
   * only, from the HSI to 3,900. */
  RCC->CCIPR = (RCC->CCIPR & ~RCC_CCIPR_UARTS) | (CONSOLE_LOW_POWER ? RCC_CCIPR_LPUART1_HSI : 0);

  RCC->APB1ENR1 |= RCC_APB1_PWR;
  (void)RCC->APB1ENR1; /* two cycles until the peripheral answers */
  PWR->CR1 = (PWR->CR1 & ~PWR_CR1_VOS) | PWR_CR1_VOS_1;
  wait_for(&PWR->SR2, PWR_SR2_VOSF, 0);
  PWR->CR5 &= ~PWR_CR5_R1MODE;
  /* Five wait states, before the clock that needs them. The caches may hold what the flash held
   * before it was programmed; they can be emptied only while they are off. */
  FLASH->ACR = 5;
  FLASH->ACR = 5 | FLASH_ACR_ICRST | FLASH_ACR_DCRST;
  FLASH->ACR = 5 | FLASH_ACR_PRFTEN | (EAG_ICACHE ? FLASH_ACR_ICEN : 0) |
               (EAG_DCACHE ? FLASH_ACR_DCEN : 0);
  wait_for(&FLASH->ACR, FLASH_ACR_LATENCY, 5);

  uint32_t configuration = PLL(HSI_HZ) | RCC_PLLCFGR_HSI;
  if (!EAG_OSCILLATOR_INTERNAL) {
    if (EAG_OSCILLATOR_BYPASS) RCC->CR |= RCC_CR_HSEBYP;
    RCC->CR |= RCC_CR_HSEON;
    if (wait_for(&RCC->CR, RCC_CR_HSERDY, RCC_CR_HSERDY))
      configuration = PLL(EAG_OSCILLATOR_HZ) | RCC_PLLCFGR_HSE;
    else
      *trouble = no_hse;
  }
  if (start_pll(configuration)) return EAG_CLOCK_HZ;
  *trouble = no_pll;
  return HSI_HZ;
}
