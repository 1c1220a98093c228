#include "eag_early.h"
#include "eag_port.h"
#include "port.h"

EAG_EARLY static gpio_registers *gpio_on(char letter) {
  *GPIO_CLOCKS |= 1u << (letter - 'A');
  (void)*GPIO_CLOCKS; /* two cycles until the port answers (RM0385 5.2.12) */
  return GPIO(letter);
}

EAG_EARLY static void pin_mode(gpio_registers *gpio, uint32_t pin, uint32_t mode) {
  gpio->MODER = (gpio->MODER & ~(3u << 2 * pin)) | mode << 2 * pin;
}

EAG_EARLY void pin_alternate(char letter, uint32_t pin, uint32_t function) {
  gpio_registers *gpio = gpio_on(letter);
  reg *half = &gpio->AFR[pin / 8];
  uint32_t shift = 4 * (pin % 8);
  *half = (*half & ~(15u << shift)) | function << shift;
  gpio->PUPDR = (gpio->PUPDR & ~(3u << 2 * pin)) | 1u << 2 * pin; /* an idle line is high */
  pin_mode(gpio, pin, 2);
}

EAG_EARLY void pins_reset(void) {
  *GPIO_RESETS |= GPIO_ALL;
  *GPIO_RESETS &= ~GPIO_ALL;
}

#ifdef EAG_TIMING_PIN
static void output(char letter, uint32_t pin) { pin_mode(gpio_on(letter), pin, 1); }
static void set(char letter, uint32_t pin, bool high) {
  GPIO(letter)->BSRR = 1u << (high ? pin : pin + 16);
}

void timing_pin_open(void) { output(EAG_TIMING_PIN); }
void eag_port_timing_gpio(bool high) { set(EAG_TIMING_PIN, high); }
#else
void timing_pin_open(void) {}
void eag_port_timing_gpio(bool high) { (void)high; }
#endif

size_t eag_port_uid(uint8_t uid[16]) {
  for (uint32_t i = 0; i < 12; i++) uid[i] = (uint8_t)(FACTORY_UID[i / 4] >> 8 * (i % 4));
  return 12;
}
