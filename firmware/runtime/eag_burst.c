#include "eag_burst.h"

#include "eag_frame.h"
#include "eag_port.h"
#include "eag_wire_defs.h"

static struct {
  uint64_t next, period;
  const uint8_t *data;
  uint32_t left, sequence, length;
} burst;

void eag_burst_start(uint32_t count, uint32_t rate, const uint8_t *data, uint32_t length) {
  burst.left = count;
  burst.sequence = 0;
  burst.data = data;
  burst.length = length;
  burst.period = eag_port_clock_hz() / rate;
  burst.next = eag_port_cycles();
}

bool eag_burst_poll(uint64_t now, uint64_t soon) {
  if (!burst.left) return false;
  if (now >= burst.next) {
    burst.left--;
    burst.next += burst.period;
    eag_begin();
    eag_put(EAG_KEY_SEQUENCE, burst.sequence++);
    eag_put64(EAG_KEY_UPTIME_CYCLES, now);
    /* What the bytes are does not matter; flash is at hand, and looks like data. */
    if (burst.length) eag_put_data(EAG_KEY_DATA, burst.data, burst.length);
    eag_send(EAG_EVENT_TELEMETRY, 0);
  }
  return soon > burst.next;
}
