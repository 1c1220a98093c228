/* The runtime as a process of a POSIX host: the wire on stdin and stdout, for tests of both ends
 * without a board. A cycle is a nanosecond; the stack is not measured (its size reads 0); a reset
 * starts the program anew. The process ends when stdin does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "eag_board.h"
#include "eag_port.h"
#include "eag_wire_defs.h"

#define BOOTS "EAG_HOST_BOOTS" /* carried over a reset */
#define UID "EAG_HOST_UID"     /* up to 16 characters */

/* No bounds are known, so both ends are one place. */
__asm__(
    "  .data\n"
    "  .balign 8\n"
    "  .globl eag_stack_limit\n"
    "  .globl eag_stack_top\n"
    "eag_stack_limit:\n"
    "eag_stack_top:\n"
    "  .long 0\n"
    "  .text\n");

static struct timespec start;
static uint32_t boots = 1;
static uint32_t cause = EAG_RESET_POWER_ON;

void eag_port_init(void) {
  clock_gettime(CLOCK_MONOTONIC, &start);
  const char *before = getenv(BOOTS);
  if (before) {
    boots = (uint32_t)strtoul(before, NULL, 10) + 1;
    cause = EAG_RESET_SOFTWARE;
  }
  fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
  struct termios line;
  if (tcgetattr(STDIN_FILENO, &line) == 0) {
    cfmakeraw(&line);
    tcsetattr(STDIN_FILENO, TCSANOW, &line);
  }
}

uint32_t eag_port_clock_hz(void) { return EAG_CLOCK_HZ; }

uint64_t eag_port_cycles(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)((now.tv_sec - start.tv_sec) * 1000000000ll + (now.tv_nsec - start.tv_nsec));
}

size_t eag_port_read(uint8_t *bytes, size_t capacity) {
  ssize_t count = read(STDIN_FILENO, bytes, capacity);
  if (count > 0) return (size_t)count;
  if (count == 0 || (errno != EAGAIN && errno != EINTR)) exit(0);
  return 0;
}

/* Gathered, since the runtime writes in small pieces and a host has system calls to save. */
static uint8_t gathered[4096];
static size_t gathered_count;

size_t eag_port_write(const uint8_t *bytes, size_t count) {
  if (count > sizeof gathered - gathered_count) eag_port_write_flush();
  if (count > sizeof gathered) count = sizeof gathered;
  memcpy(gathered + gathered_count, bytes, count);
  gathered_count += count;
  return count;
}

/* No interrupt follows a byte that has left, so there is nothing here to wait for. */
bool eag_port_write_idle(void) {
  eag_port_write_flush();
  return true;
}

void eag_port_write_flush(void) {
  const uint8_t *at = gathered, *end = gathered + gathered_count;
  while (at < end) {
    ssize_t count = write(STDOUT_FILENO, at, (size_t)(end - at));
    if (count > 0) {
      at += count;
    } else if (errno == EAGAIN) {
      /* On a terminal, input and output share the flag that makes reading not wait. */
      struct pollfd line = {.fd = STDOUT_FILENO, .events = POLLOUT};
      poll(&line, 1, -1);
    } else if (errno != EINTR) {
      exit(0);
    }
  }
  gathered_count = 0;
}

bool eag_port_can_baud(uint32_t baud) { return baud >= 1200 && baud <= 6000000; }
void eag_port_set_baud(uint32_t baud) { (void)baud; }
uint32_t eag_port_rx_lost(void) { return 0; }

void eag_port_panic(void) {}
const char *eag_port_trouble(void) { return NULL; }

void eag_port_sleep(void) {
  eag_port_write_flush();
  struct pollfd line = {.fd = STDIN_FILENO, .events = POLLIN};
  poll(&line, 1, 1);
}

void eag_port_timing_gpio(bool high) { (void)high; }

size_t eag_port_uid(uint8_t uid[16]) {
  const char *text = getenv(UID);
  if (!text) text = "host";
  size_t count = strnlen(text, 16);
  memcpy(uid, text, count);
  return count;
}

uint32_t eag_port_boot_count(void) { return boots; }
uint32_t eag_port_reset_cause(void) { return cause; }

void eag_port_reset(void) {
  char number[16];
  eag_port_write_flush();
  snprintf(number, sizeof number, "%u", (unsigned)boots);
  setenv(BOOTS, number, 1);
  execl("/proc/self/exe", "firmware", (char *)NULL);
  exit(1);
}

int32_t eag_port_supply_mv(void) { return INT32_MIN; }
int32_t eag_port_die_decicelsius(void) { return INT32_MIN; }
