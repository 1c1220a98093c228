/* Enough of an Arduino core to link a sketch for a chip, not to run one: there is no start-up code,
 * no clock, and nothing behind the UART.
 */
#include "Arduino.h"

HardwareSerial Serial;

static volatile unsigned long ticks;
unsigned long micros() { return ticks++; }
unsigned long millis() { return micros() / 1000; }
void delay(unsigned long ms) {
  for (unsigned long end = millis() + ms; millis() < end;) {
  }
}

void pinMode(uint8_t, uint8_t) {}
void digitalWrite(uint8_t, uint8_t) {}

void HardwareSerial::begin(unsigned long) {}
void HardwareSerial::end() {}
int HardwareSerial::available() { return 0; }
int HardwareSerial::read() { return -1; }
int HardwareSerial::peek() { return -1; }
size_t HardwareSerial::write(uint8_t) { return 0; }
size_t HardwareSerial::write(const uint8_t *, size_t) { return 0; }
void HardwareSerial::flush() {}

int main() {
  setup();
  for (;;) loop();
}
