/* An Arduino core on a POSIX host: Serial is stdin and stdout, with a small receive buffer. Where the
 * board's console is a UART, bytes come at the line's speed whether or not the sketch looks, and what
 * finds the buffer full is lost, as on a board. USB makes its host wait. The process ends when stdin
 * does.
 *
 * The clock is the processor time that the sketch used, and what it waited in delay() and write():
 * a busy machine takes no time from it.
 *
 * STUB_MICROS is what micros() starts from, STUB_HZ the clock of the ESP class's cycle counter,
 * STUB_PIN a file that the pins' levels go to.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "Arduino.h"
#include "eag_board.h"

#ifndef STUB_RX_BUFFER
#define STUB_RX_BUFFER 64
#endif

HardwareSerial Serial;

static uint64_t waited; /* nanoseconds */

static uint64_t used() {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}
/* A restart execs, which keeps the process and what it has used: a board counts from its start. */
static const uint64_t used_at_start = used();
static uint64_t nanoseconds() { return used() - used_at_start + waited; }

unsigned long micros() {
  static const char *from = getenv("STUB_MICROS");
  static const uint64_t offset = from ? strtoull(from, NULL, 10) : 0;
  return (uint32_t)(offset + nanoseconds() / 1000);
}
unsigned long millis() { return micros() / 1000; }

void delay(unsigned long ms) {
  usleep((useconds_t)ms * 1000);
  waited += ms * 1000000;
}

static FILE *pins;
void pinMode(uint8_t pin, uint8_t mode) {
  const char *path = getenv("STUB_PIN");
  if (mode == OUTPUT && path) pins = fopen(path, "a");
  (void)pin;
}
void digitalWrite(uint8_t pin, uint8_t value) {
  if (pins) fprintf(pins, "%u %u\n", pin, value), fflush(pins);
}

/* One more than the buffer holds, so that full and empty differ. */
static uint8_t ring[STUB_RX_BUFFER + 1];
static size_t head, tail;
static unsigned long speed; /* 0: closed */

static uint64_t line_ns(size_t bytes) { return bytes * 10000000000u / speed; }
static size_t room() { return STUB_RX_BUFFER - (head + sizeof ring - tail) % sizeof ring; }

static void arrive() {
  static uint64_t due; /* when the next byte of a UART is whole */
  uint8_t byte;
  uint64_t now = nanoseconds();
#ifdef EAG_CONSOLE_USB
  while (speed && room()) {
#else
  while (speed && due <= now) {
#endif
    ssize_t count = read(STDIN_FILENO, &byte, 1);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) exit(0);
    if (count < 0) {
      due = now + line_ns(1);
      return;
    }
    due += line_ns(1);
    if (!room()) continue;
    ring[head] = byte;
    head = (head + 1) % sizeof ring;
  }
}

void HardwareSerial::begin(unsigned long baud) {
  fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
  speed = baud;
}
void HardwareSerial::end() {
  speed = 0;
  head = tail = 0;
}

int HardwareSerial::available() {
  arrive();
  return (int)(STUB_RX_BUFFER - room());
}
int HardwareSerial::peek() { return available() ? ring[tail] : -1; }
int HardwareSerial::read() {
  if (!available()) return -1;
  uint8_t byte = ring[tail];
  tail = (tail + 1) % sizeof ring;
  return byte;
}

size_t HardwareSerial::write(uint8_t byte) { return write(&byte, 1); }
size_t HardwareSerial::write(const uint8_t *buffer, size_t size) {
  size_t done = 0;
#ifndef EAG_CONSOLE_USB
  if (speed) waited += line_ns(size);
#endif
  while (speed && done < size) {
    ssize_t count = ::write(STDOUT_FILENO, buffer + done, size - done);
    if (count > 0) {
      done += (size_t)count;
    } else if (errno == EAGAIN) {
      struct pollfd line = {STDOUT_FILENO, POLLOUT, 0};
      poll(&line, 1, -1);
    } else if (errno != EINTR) {
      exit(0);
    }
  }
  return done;
}
void HardwareSerial::flush() {}

#ifdef ARDUINO_ARCH_ESP32
EspClass ESP;
uint32_t EspClass::getCycleCount() {
  static const char *named = getenv("STUB_HZ");
  static const uint64_t hz = named ? strtoull(named, NULL, 10) : 240000000u;
  return (uint32_t)(nanoseconds() / 1000 * hz / 1000000);
}
void EspClass::restart() {
  execl("/proc/self/exe", "sketch", (char *)NULL);
  exit(1);
}
size_t HardwareSerial::setRxBufferSize(size_t size) { return size; }
#endif

int main() {
  setup();
  for (;;) loop();
}
