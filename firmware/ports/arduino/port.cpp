/* The port for whatever runs Arduino sketches: Serial, micros() and, where the core has one, its
 * cycle counter. Start, clock tree, stack, faults and the linker script are the framework's; what it
 * does not tell is said to be unknown, never guessed.
 */
#include <Arduino.h>

#include "eag_board.h"
#include "eag_port.h"
#include "eag_wire_defs.h"

#define MICROS_PER_SECOND 1000000u
/* Long enough to tell 0.5 %, short enough not to be noticed at start. */
#define TRIAL_US 20000u

/* No bounds are known, so both ends are one place. */
extern "C" {
uint32_t eag_stack_limit[1];
extern uint32_t eag_stack_top[1] __attribute__((alias("eag_stack_limit")));
bool eag_counts_cycles;
}

static uint32_t counts_hz = MICROS_PER_SECOND;
static const char *trouble;

/* micros() is 32 bits wide on all cores and wraps after 71 minutes; asked more often than that. */
static uint64_t micros64() {
  static uint32_t last, wraps;
  uint32_t now = (uint32_t)micros();
  if (now < last) wraps++;
  last = now;
  return (uint64_t)wraps << 32 | now;
}

#if EAG_ARM_DWT

static void start_cycles() {
  *(volatile uint32_t *)0xE000EDFC |= 1u << 24;         /* DEMCR.TRCENA */
  *(volatile uint32_t *)0xE0001FB0 = 0xC5ACCE55u;       /* DWT_LAR; Cortex-M7 has the lock */
  *(volatile uint32_t *)0xE0001000 |= 1u;               /* DWT_CTRL.CYCCNTENA */
}
static uint32_t cycles_now() { return EAG_DWT_CYCCNT; }
extern "C" uint32_t eag_count32(void) { return (uint32_t)micros(); }

#elif defined(ARDUINO_ARCH_ESP32)

static void start_cycles() {}
static uint32_t cycles_now() { return ESP.getCycleCount(); }
extern "C" uint32_t eag_count32(void) {
  return eag_counts_cycles ? cycles_now() : (uint32_t)micros();
}

#else

static void start_cycles() {}
static uint32_t cycles_now() { return 0; }
extern "C" uint32_t eag_count32(void) { return (uint32_t)micros(); }

#endif

/* Whether the cycle counter runs, and how fast: against micros(), since what the core's headers say
 * of the clock is not always what the core has set up. */
static void try_cycles() {
  start_cycles();
  uint32_t began = (uint32_t)micros(), first = cycles_now(), us;
  do us = (uint32_t)micros() - began;
  while (us < TRIAL_US);
  uint32_t counted = cycles_now() - first;
  uint32_t hz = (uint32_t)((uint64_t)counted * MICROS_PER_SECOND / us);
  /* A core runs at more than a count a microsecond. */
  if (hz <= MICROS_PER_SECOND) return;
  uint32_t nominal = EAG_CLOCK_HZ;
  uint32_t apart = hz > nominal ? hz - nominal : nominal - hz;
  eag_counts_cycles = true;
  counts_hz = nominal;
  if (apart <= nominal / 200) return;
  counts_hz = hz;
  trouble = "clock not the board file's: by micros()";
}

void eag_port_init(void) {
#ifdef EAG_TIMING_PIN
  pinMode(EAG_TIMING_PIN, OUTPUT);
#endif
#ifdef ARDUINO_ARCH_ESP32
  /* Its USB drops what its queue has no room for. */
  Serial.setRxBufferSize(1024);
#endif
  Serial.begin(EAG_CONSOLE_BAUD);
  try_cycles();
}

uint32_t eag_port_clock_hz(void) { return counts_hz; }

uint64_t eag_port_cycles(void) {
  /* Not from the cycle counter, which may stand still while the framework lets the core sleep. */
  uint64_t us = micros64();
  return us / MICROS_PER_SECOND * counts_hz +
         us % MICROS_PER_SECOND * counts_hz / MICROS_PER_SECOND;
}

size_t eag_port_read(uint8_t *bytes, size_t capacity) {
  size_t count = 0;
  while (count < capacity && Serial.available() > 0) bytes[count++] = (uint8_t)Serial.read();
  return count;
}

/* Gathered, since the runtime writes in small pieces and USB sends each write as a packet. */
static uint8_t gathered[256];
static size_t gathered_count;

static void send_gathered() {
  /* Serial waits for room by itself. What it does not take has nobody to go to: no host listens. */
  if (gathered_count) Serial.write(gathered, gathered_count);
  gathered_count = 0;
}

size_t eag_port_write(const uint8_t *bytes, size_t count) {
  if (gathered_count == sizeof gathered) send_gathered();
  if (count > sizeof gathered - gathered_count) count = sizeof gathered - gathered_count;
  for (size_t i = 0; i < count; i++) gathered[gathered_count++] = bytes[i];
  return count;
}

/* No interrupt that we know of follows a byte that has left, so there is nothing to wait for. */
bool eag_port_write_idle(void) {
  send_gathered();
  return true;
}

void eag_port_write_flush(void) {
  send_gathered();
  Serial.flush();
}

bool eag_port_can_baud(uint32_t baud) {
#ifdef EAG_CONSOLE_USB
  return baud != 0; /* there is no line to have a speed */
#else
  /* 64 bytes of buffer last 2.8 ms at the fastest of these; eag_port_sleep() takes one. */
  return baud >= 9600 && baud <= 230400;
#endif
}

void eag_port_set_baud(uint32_t baud) {
#ifdef EAG_CONSOLE_USB
  (void)baud; /* to end and begin would take the port from the host */
#else
  Serial.end();
  Serial.begin(baud);
#endif
}

uint32_t eag_port_rx_lost(void) { return UINT32_MAX; }

/* Faults are the framework's. */
void eag_port_panic(void) {}

const char *eag_port_trouble(void) { return trouble; }

void eag_port_sleep(void) {
  send_gathered();
  if (Serial.available() <= 0) delay(1); /* lets what runs beside the sketch have its turn */
}

void eag_port_timing_gpio(bool high) {
#ifdef EAG_TIMING_PIN
  digitalWrite(EAG_TIMING_PIN, high ? HIGH : LOW);
#else
  (void)high;
#endif
}

size_t eag_port_uid(uint8_t uid[16]) {
  (void)uid;
  return 0;
}

uint32_t eag_port_boot_count(void) { return 0; }
uint32_t eag_port_reset_cause(void) { return EAG_RESET_UNKNOWN; }

void eag_port_reset(void) {
#ifdef ARDUINO_ARCH_ESP32
  ESP.restart();
#elif defined(__arm__)
  *(volatile uint32_t *)0xE000ED0C = 0x05FA0004u; /* SCB_AIRCR.SYSRESETREQ, on all Cortex-M */
#endif
  for (;;) {
  }
}

int32_t eag_port_supply_mv(void) { return INT32_MIN; }
int32_t eag_port_die_decicelsius(void) { return INT32_MIN; }
