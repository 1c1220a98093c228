/* Instructions, counted by a timer.
 *
 * Under QEMU's `-icount shift=7` every instruction takes 128 ns of virtual time. The counter ticks
 * every 40 ns (AN500) or 31.25 ns (AN547), so it moves by more than three between one instruction
 * and the next: the rounding of both ends, less than a tick each, cannot hide one, and the number
 * of instructions between two readings is exact. Time asleep is no multiple of 128 ns, so only
 * differences over times awake are; they are all that a profile asks for.
 *
 * Handlers are left out: each is entered through a wrapper whose own instructions are known, and
 * which notes how many the handler took. All have one priority, so that none interrupts another.
 *
 * Elsewhere (a real MPS board, QEMU without that option) the counter is one of clock cycles at the
 * core's rate. Which it is, is found out at the start by a loop of known length.
 */
#include "eag_port.h"
#include "port.h"

#define NS_PER_INSTRUCTION 128u
/* Ticks per instruction, inverted, as MULTIPLIER / 2^SHIFT. */
#if EAG_CLOCK_HZ == 25000000
#define MULTIPLIER 5
#define SHIFT 4
#elif EAG_CLOCK_HZ == 32000000
#define MULTIPLIER 125
#define SHIFT 9
#else
#error "no exact ratio of instructions to ticks is known for this clock"
#endif
#define HALF (1 << (SHIFT - 1))
_Static_assert(MULTIPLIER * (EAG_CLOCK_HZ / 1000ull) * NS_PER_INSTRUCTION == 1000000ull << SHIFT,
               "an instruction's ticks times the multiplier are 2^SHIFT");

bool eag_port_counts_instructions;
/* Instructions of handlers since the last reading; written by their wrappers. */
__attribute__((used)) static uint32_t handlers;

static uint32_t instructions(uint32_t elapsed) {
  return (uint32_t)(((uint64_t)elapsed * MULTIPLIER + HALF) >> SHIFT);
}

uint32_t eag_port_count(void) {
  static uint32_t last, count;
  uint32_t before = mask();
  uint32_t now = ticks();
  if (eag_port_counts_instructions) {
    count += instructions(now - last) - handlers;
    handlers = 0;
    last = now;
  } else {
    count = now;
  }
  unmask(before);
  return count;
}

#define TEXT(x) #x
#define VALUE(x) TEXT(x)
#if COUNTER_DOWN
#define ELAPSED "  sub r0, r4, r0\n"
#else
#define ELAPSED "  sub r0, r0, r4\n"
#endif

/* Between the two readings lies what the ticks tell; before the first one end 3 instructions, it
 * included, and after the second follow 11. */
#define AROUND 14
#define COUNTED_HANDLER(name, body)            \
  __attribute__((naked)) void name(void) {     \
    __asm__ volatile(                          \
        "  push {r4, lr}\n"                    \
        "  ldr r4, =" VALUE(COUNTER_ADDRESS) "\n" \
        "  ldr r4, [r4]\n"                     \
        "  bl " #body "\n"                     \
        "  ldr r0, =" VALUE(COUNTER_ADDRESS) "\n" \
        "  ldr r0, [r0]\n"                     \
        ELAPSED                                \
        "  mov r1, #" VALUE(MULTIPLIER) "\n"   \
        "  mul r0, r0, r1\n"                   \
        "  add r0, r0, #" VALUE(HALF) "\n"     \
        "  lsr r0, r0, #" VALUE(SHIFT) "\n"    \
        "  add r0, r0, #" VALUE(AROUND) "\n"   \
        "  ldr r1, =handlers\n"                \
        "  ldr r2, [r1]\n"                     \
        "  add r2, r2, r0\n"                   \
        "  str r2, [r1]\n"                     \
        "  pop {r4, pc}\n"                     \
        "  .ltorg\n");                         \
  }
COUNTED_HANDLER(tick_handler, on_tick)
COUNTED_HANDLER(receive_handler, on_receive)
COUNTED_HANDLER(transmit_handler, on_transmit)

/* Ticks that a loop of `2 * rounds + 1` instructions takes. */
static uint32_t time_loop(uint32_t rounds) {
  uint32_t first, second;
  __asm__ volatile(
      "  ldr %0, [%3]\n"
      "1: subs %2, %2, #1\n"
      "  bne 1b\n"
      "  ldr %1, [%3]\n"
      : "=&r"(first), "=&r"(second), "+&r"(rounds)
      : "r"(COUNTER_ADDRESS)
      : "cc", "memory");
  return COUNTER_DOWN ? first - second : second - first;
}

void counting_init(void) {
#if COUNTER_DOWN
  TIMER0->CTRL = 0;
  TIMER0->RELOAD = 0xFFFFFFFF;
  TIMER0->VALUE = 0xFFFFFFFF;
  TIMER0->CTRL = 1;
#else
  COUNTER_CONTROL = 1;
#endif
  /* Two lengths, since a rate that is off may hit one. */
  eag_port_counts_instructions = instructions(time_loop(500)) == 1001 &&
                                 instructions(time_loop(2001)) == 4003;
}
