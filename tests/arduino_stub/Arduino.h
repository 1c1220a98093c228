/* The part of the Arduino API that sketches of this project use, written from its documentation
 * (docs.arduino.cc/language-reference, and for the ESP class the ESP32 Arduino core's): so that the
 * Arduino port compiles, and on a host runs, without any Arduino core.
 *
 * ARDUINO_ARCH_ESP32 adds what that core has beyond the common API; ARDUINO_ARCH_STM32 its names
 * for pins.
 */
#ifndef ARDUINO_STUB_H
#define ARDUINO_STUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HIGH 0x1
#define LOW 0x0
#define INPUT 0x0
#define OUTPUT 0x1

#ifdef ARDUINO_ARCH_STM32
#define STUB_PORT(x) P##x##0, P##x##1, P##x##2, P##x##3, P##x##4, P##x##5, P##x##6, P##x##7, \
    P##x##8, P##x##9, P##x##10, P##x##11, P##x##12, P##x##13, P##x##14, P##x##15
enum { STUB_PORT(A), STUB_PORT(B), STUB_PORT(C), STUB_PORT(D), STUB_PORT(E), STUB_PORT(F) };
#endif

void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t value);

unsigned long millis(void);
unsigned long micros(void);
void delay(unsigned long ms);

class Print {
 public:
  virtual ~Print() {}
  virtual size_t write(uint8_t byte) = 0;
  virtual size_t write(const uint8_t *buffer, size_t size) = 0;
  virtual void flush() {}
};

class Stream : public Print {
 public:
  virtual int available() = 0;
  virtual int read() = 0;
  virtual int peek() = 0;
};

class HardwareSerial : public Stream {
 public:
  void begin(unsigned long baud);
  void end();
  int available() override;
  int read() override;
  int peek() override;
  size_t write(uint8_t byte) override;
  size_t write(const uint8_t *buffer, size_t size) override;
  void flush() override;
#ifdef ARDUINO_ARCH_ESP32
  size_t setRxBufferSize(size_t size);
#endif
};

extern HardwareSerial Serial;

#ifdef ARDUINO_ARCH_ESP32
class EspClass {
 public:
  uint32_t getCycleCount();
  void restart();
};
extern EspClass ESP;
#endif

void setup();
void loop();

#endif
