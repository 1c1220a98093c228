/* The clock tree, as RM0385 5.2 and 4.1.4 ask for it. */
#include "eag_early.h"
#include "port.h"

#define HSI_HZ 16000000u

/* The PLL's input must be 1 or 2 MHz, its VCO 100 to 432 MHz; the system clock is VCO / 2. */
#define PLL(oscillator) ((oscillator) / 1000000u | (2 * (EAG_CLOCK_HZ / 1000000u)) << 6)
_Static_assert(EAG_OSCILLATOR_HZ % 1000000u == 0 && EAG_OSCILLATOR_HZ >= 2000000u &&
                   EAG_OSCILLATOR_HZ <= 50000000u,
               "the PLL takes its 1 MHz from a whole number of megahertz");
_Static_assert(!EAG_OSCILLATOR_INTERNAL || EAG_OSCILLATOR_HZ == HSI_HZ,
               "the internal oscillator is the HSI, 16 MHz");
_Static_assert(EAG_CLOCK_HZ % 1000000u == 0 && EAG_CLOCK_HZ > 180000000u &&
                   EAG_CLOCK_HZ <= 216000000u,
               "over-drive and seven wait states are set up for 180 to 216 MHz");

#define PLLQ_9 (9u << 24)           /* 48 MHz at 216, for nobody; 0 and 1 are not allowed */
#define PLLCFGR_RESERVED 0x20000000u /* its reset value */

#define OVERDRIVE_READY (PWR_CSR1_ODRDY | PWR_CSR1_ODSWRDY)

/* From the HSI as the system clock; false leaves it there. */
EAG_EARLY static bool start_pll(uint32_t configuration) {
  RCC->PLLCFGR = PLLCFGR_RESERVED | PLLQ_9 | configuration;
  RCC->CR |= RCC_CR_PLLON;
  PWR->CR1 |= PWR_CR1_ODEN;
  if (!wait_for(&PWR->CSR1, PWR_CSR1_ODRDY, PWR_CSR1_ODRDY)) return false;
  PWR->CR1 |= PWR_CR1_ODSWEN;
  return wait_for(&PWR->CSR1, PWR_CSR1_ODSWRDY, PWR_CSR1_ODSWRDY) &&
         wait_for(&RCC->CR, RCC_CR_PLLRDY, RCC_CR_PLLRDY);
}

static const char no_hse[] EAG_EARLY_DATA = "no HSE: HSI, 1 % off";
static const char no_pll[] EAG_EARLY_DATA = "no PLL: 16 MHz";

EAG_EARLY uint32_t clock_init(const char **trouble) {
  /* To the reset state first, wherever a bootloader or a debugger left it: HSI, no PLL. */
  RCC->CR |= RCC_CR_HSION;
  wait_for(&RCC->CR, RCC_CR_HSIRDY, RCC_CR_HSIRDY);
  RCC->CFGR &= ~RCC_CFGR_SW;
  wait_for(&RCC->CFGR, RCC_CFGR_SWS, 0);
  /* HSE and all PLLs off; the HSI keeps its trim. The bypass can only change once HSE is off. */
  RCC->CR &= 0xFFFFu | RCC_CR_HSEBYP;
  wait_for(&RCC->CR, RCC_CR_PLLRDY | RCC_CR_HSERDY, 0);
  RCC->CR &= 0xFFFFu;
  RCC->CIR = 0;
  RCC->DCKCFGR2 &= ~RCC_DCKCFGR2_UARTS;

  RCC->APB1ENR |= RCC_APB1_PWR;
  (void)RCC->APB1ENR; /* two cycles until the peripheral answers (RM0385 5.2.12) */
  PWR->CR1 = PWR_CR1_VOS_1; /* without over-drive, which may still be on from before */
  wait_for(&PWR->CSR1, OVERDRIVE_READY, 0);
  /* Seven wait states, before the clock that needs them. ART serves the ITCM alias only, and
   * costs nothing where code runs over AXI. */
  FLASH->ACR = 7 | FLASH_ACR_PRFTEN | FLASH_ACR_ARTEN;
  wait_for(&FLASH->ACR, 15, 7);
  RCC->CFGR = RCC_CFGR_PPRE1_4 | RCC_CFGR_PPRE2_2;

  uint32_t configuration = PLL(HSI_HZ);
  if (!EAG_OSCILLATOR_INTERNAL) {
    if (EAG_OSCILLATOR_BYPASS) RCC->CR |= RCC_CR_HSEBYP;
    RCC->CR |= RCC_CR_HSEON;
    if (wait_for(&RCC->CR, RCC_CR_HSERDY, RCC_CR_HSERDY))
      configuration = PLL(EAG_OSCILLATOR_HZ) | RCC_PLLCFGR_HSE;
    else
      *trouble = no_hse;
  }
  if (!start_pll(configuration)) {
    *trouble = no_pll;
    return HSI_HZ;
  }
  RCC->CFGR |= RCC_CFGR_SW_PLL;
  wait_for(&RCC->CFGR, RCC_CFGR_SWS, RCC_CFGR_SW_PLL << 2);
  return EAG_CLOCK_HZ;
}
