/* The rest of the port: caches, MPU, time, pins, and what outlives a reset. */
#include "eag_port.h"
#include "port.h"
#include "eag_wire_defs.h"

static const char *trouble;
static uint32_t core_hz, reset_cause;
static volatile uint32_t wraps;

/* What a reset leaves alone. The memory's content at power-on is anything, hence the check. */
#define KEPT_CHECK 0x4B455054u
#define KEPT_FAULT 0x4641554Cu
static struct {
  uint32_t boots, check, fault;
} kept __attribute__((section(".noinit")));

static void read_reset_cause(void) {
  uint32_t flags = RCC->CSR;
  RCC->CSR |= RCC_CSR_RMVF;
  if (flags & (RCC_CSR_PORRSTF | RCC_CSR_BORRSTF))
    reset_cause = EAG_RESET_POWER_ON;
  else if (flags & (RCC_CSR_IWDGRSTF | RCC_CSR_WWDGRSTF))
    reset_cause = EAG_RESET_WATCHDOG;
  else if (flags & RCC_CSR_SFTRSTF)
    reset_cause = kept.fault == KEPT_FAULT ? EAG_RESET_FAULT : EAG_RESET_SOFTWARE;
  else if (flags & RCC_CSR_PINRSTF)
    reset_cause = EAG_RESET_PIN;
  if (reset_cause == EAG_RESET_POWER_ON || kept.check != (kept.boots ^ KEPT_CHECK)) kept.boots = 0;
  kept.boots++;
  kept.check = kept.boots ^ KEPT_CHECK;
  kept.fault = 0;
}

void boot_note_fault(void) { kept.fault = KEPT_FAULT; }
uint32_t eag_port_boot_count(void) { return kept.boots; }
uint32_t eag_port_reset_cause(void) { return reset_cause; }

void eag_port_reset(void) {
  __asm__ volatile("dsb" ::: "memory");
  SCB->AIRCR = SCB_AIRCR_RESET;
  for (;;) {
  }
}

static void enable_caches(void) {
  /* As B2.2.7 says: everything invalid first; instructions also where a bootloader left the cache
   * on, since code may have been copied. A data cache that is on holds valid lines, dirty ones
   * perhaps, and is left as it is. */
  if (EAG_ICACHE) {
    barrier();
    SCB_ICIALLU = 0;
    barrier();
    SCB->CCR |= SCB_CCR_IC;
  }
  if (EAG_DCACHE && !(SCB->CCR & SCB_CCR_DC)) {
    SCB->CSSELR = 0;
    barrier();
    uint32_t size = SCB->CCSIDR;
    uint32_t sets = size >> 13 & 0x7FFF, ways = size >> 3 & 0x3FF;
    uint32_t way_shift = (uint32_t)__builtin_clz(ways);
    for (uint32_t set = 0; set <= sets; set++)
      for (uint32_t way = 0; way <= ways; way++) SCB_DCISW = way << way_shift | set << 5;
    barrier();
    SCB->CCR |= SCB_CCR_DC;
  }
  barrier();
}

/* No access, for anyone, to the 32 bytes under the stack; everywhere else the default map. */
static void guard_stack(void) {
  MPU->CTRL = 0;
  MPU->RBAR = ((uint32_t)eag_stack_limit - 32) | MPU_RBAR_VALID | 0;
  MPU->RASR = MPU_RASR_XN | MPU_RASR_SIZE_32 | MPU_RASR_ENABLE;
  MPU->CTRL = MPU_CTRL_PRIVDEFENA | MPU_CTRL_ENABLE;
  barrier();
}

static void start_time(void) {
  DEMCR |= DEMCR_TRCENA;
  DWT_LAR = DWT_LAR_KEY;
  DWT_CYCCNT = 0;
  DWT_CTRL |= 1;
  SYSTICK->RVR = SYSTICK_LARGEST;
  SYSTICK->CVR = 0;
  SYSTICK->CSR = 7; /* the core's clock, with interrupt */
}

void systick_handler(void) { wraps++; }

uint64_t eag_port_cycles(void) {
  /* SysTick rather than CYCCNT, which stands still while the core sleeps. Its counter runs down
   * from 2^24 and its interrupt is pending from the moment it reaches 0. */
  uint32_t high, low, waiting;
  do {
    high = wraps;
    low = -SYSTICK->CVR & SYSTICK_LARGEST;
    waiting = SCB->ICSR & SCB_ICSR_PENDSTSET;
  } while (high != wraps);
  /* The interrupt of the latest wrap may still be waiting: in a handler, or for the instant that
   * the core needs to take it. Looked at before the count is, so that it cannot be taken between. */
  if (low < 0x10000 && waiting) high++;
  return (uint64_t)high << 24 | low;
}

uint32_t eag_port_clock_hz(void) { return core_hz; }
const char *eag_port_trouble(void) { return trouble; }

static gpio_registers *gpio_on(char letter) {
  RCC->AHB1ENR |= RCC_AHB1_GPIO(letter);
  (void)RCC->AHB1ENR;
  return GPIO(letter);
}

static void pin_mode(gpio_registers *gpio, uint32_t pin, uint32_t mode) {
  gpio->MODER = (gpio->MODER & ~(3u << 2 * pin)) | mode << 2 * pin;
}

void pin_alternate(char letter, uint32_t pin, uint32_t function) {
  gpio_registers *gpio = gpio_on(letter);
  reg *half = &gpio->AFR[pin / 8];
  uint32_t shift = 4 * (pin % 8);
  *half = (*half & ~(15u << shift)) | function << shift;
  gpio->PUPDR = (gpio->PUPDR & ~(3u << 2 * pin)) | 1u << 2 * pin; /* an idle line is high */
  pin_mode(gpio, pin, 2);
}

void pin_output(char letter, uint32_t pin) { pin_mode(gpio_on(letter), pin, 1); }

static void set_pin(char letter, uint32_t pin, bool high) {
  GPIO(letter)->BSRR = 1u << (high ? pin : pin + 16);
}

void eag_port_timing_gpio(bool high) { set_pin(EAG_TIMING_PIN, high); }

size_t eag_port_uid(uint8_t uid[16]) {
  for (uint32_t i = 0; i < 12; i++) uid[i] = (uint8_t)(FACTORY_UID[i / 4] >> 8 * (i % 4));
  return 12;
}

/* The ROM bootloader starts an image with its own pins still set up, PA10 among them: a second
 * receiver pin of the console's USART. */
static void reset_pins(void) {
  RCC->AHB1RSTR = RCC_AHB1_ALL_GPIO;
  RCC->AHB1RSTR = 0;
}

void eag_port_init(void) {
  read_reset_cause();
  core_hz = clock_init(&trouble);
  enable_caches();
  guard_stack();
  start_time();
  reset_pins();
  pin_output(EAG_TIMING_PIN);
  console_init(core_hz);
  __asm__ volatile("cpsie i" ::: "memory");
}
