/* Supply voltage and die temperature through ADC1, against the values that ST measured at 3.0 V
 * and wrote into each chip (RM0432, ADC: temperature sensor, reference voltage; DS12023).
 */
#include "eag_port.h"
#include "port.h"

#define CHANNEL_VREFINT 0u
#define CHANNEL_TEMPERATURE 17u
#define CALIBRATED_MV 3000

static void pause(uint32_t part_of_second) {
  uint64_t ready = eag_port_cycles() + eag_port_clock_hz() / part_of_second;
  while (eag_port_cycles() < ready) {
  }
}

/* False: it does not start. */
static bool start(void) {
  RCC->AHB2ENR |= RCC_AHB2_ADC;
  (void)RCC->AHB2ENR;
  if (ADC1->CR & ADC_CR_ADEN) return true;
  ADC_CCR = ADC_CCR_HCLK_4 | ADC_CCR_VREFEN | ADC_CCR_TSEN; /* 30 MHz; 80 are allowed */
  ADC1->CR = 0; /* out of deep power down, then its regulator: 20 us */
  ADC1->CR = ADC_CR_ADVREGEN;
  pause(32768);
  ADC1->CR = ADC_CR_ADVREGEN | ADC_CR_ADCAL;
  if (!wait_for(&ADC1->CR, ADC_CR_ADCAL, 0)) return false;
  pause(8192); /* the sensor's buffer: 120 us */
  ADC1->SMPR[0] = 7u;       /* 640 cycles, 21 us; the reference needs 4 */
  ADC1->SMPR[1] = 7u << 21; /* the sensor needs 5 */
  ADC1->ISR = ADC_ISR_ADRDY;
  ADC1->CR = ADC_CR_ADVREGEN | ADC_CR_ADEN;
  return wait_for(&ADC1->ISR, ADC_ISR_ADRDY, ADC_ISR_ADRDY);
}

/* 0: no answer. */
static uint32_t convert(uint32_t channel) {
  if (!start()) return 0;
  ADC1->SQR[0] = channel << 6; /* one conversion */
  ADC1->ISR = ADC_ISR_EOC;
  ADC1->CR = ADC_CR_ADVREGEN | ADC_CR_ADEN | ADC_CR_ADSTART;
  return wait_for(&ADC1->ISR, ADC_ISR_EOC, ADC_ISR_EOC) ? ADC1->DR : 0;
}

int32_t eag_port_supply_mv(void) {
  uint32_t read = convert(CHANNEL_VREFINT), factory = FACTORY_VREFINT;
  if (!read || factory - 1u >= 0xFFEu) return INT32_MIN;
  return (int32_t)(CALIBRATED_MV * factory / read);
}

int32_t eag_port_die_decicelsius(void) {
  int32_t low = FACTORY_TEMPERATURE_30, high = FACTORY_TEMPERATURE_130;
  int32_t supply = eag_port_supply_mv();
  int32_t read = (int32_t)convert(CHANNEL_TEMPERATURE);
  if (supply == INT32_MIN || !read || high <= low || high > 0xFFF) return INT32_MIN;
  int32_t above = read * supply / CALIBRATED_MV - low;
  return 300 + above * 1000 / (high - low);
}
