/* Supply voltage and die temperature through ADC1, against the values that ST measured at 3.3 V
 * and wrote into each chip (RM0385 15.10, DS10916 6.3.24 and 6.3.26).
 */
#include "eag_port.h"
#include "port.h"

#define CHANNEL_VREFINT 17u
#define CHANNEL_TEMPERATURE 18u
#define CALIBRATED_MV 3300

/* 0: no answer. */
static uint32_t convert(uint32_t channel) {
  RCC->APB2ENR |= RCC_APB2_ADC1;
  (void)RCC->APB2ENR;
  if (!(ADC1->CR2 & ADC_CR2_ADON)) {
    ADC_CCR = ADC_CCR_TSVREFE | ADC_CCR_ADCPRE_4; /* 27 MHz; 36 are allowed */
    ADC1->SMPR[0] = 7u << 21 | 7u << 24; /* 480 cycles, 17.8 us; the sensor needs 10 */
    ADC1->CR2 = ADC_CR2_ADON;
    /* The sensor's start-up takes 10 us, the ADC's 3. */
    uint64_t ready = eag_port_cycles() + eag_port_clock_hz() / 65536;
    while (eag_port_cycles() < ready) {
    }
  }
  ADC1->SQR3 = channel;
  ADC1->SR = 0;
  ADC1->CR2 = ADC_CR2_ADON | ADC_CR2_SWSTART;
  return wait_for(&ADC1->SR, ADC_SR_EOC, ADC_SR_EOC) ? ADC1->DR : 0;
}

int32_t eag_port_supply_mv(void) {
  uint32_t read = convert(CHANNEL_VREFINT), factory = FACTORY_VREFINT;
  if (!read || factory - 1u >= 0xFFEu) return INT32_MIN;
  return (int32_t)(CALIBRATED_MV * factory / read);
}

int32_t eag_port_die_decicelsius(void) {
  int32_t low = FACTORY_TEMPERATURE_30, high = FACTORY_TEMPERATURE_110;
  int32_t supply = eag_port_supply_mv();
  int32_t read = (int32_t)convert(CHANNEL_TEMPERATURE);
  if (supply == INT32_MIN || !read || high <= low || high > 0xFFF) return INT32_MIN;
  int32_t above = read * supply / CALIBRATED_MV - low;
  return 300 + above * 800 / (high - low);
}
