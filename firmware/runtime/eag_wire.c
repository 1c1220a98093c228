#include "eag_wire.h"

#include "eag_early.h"

/* A nibble at a time: 64 bytes of table against 1 KiB for a byte at a time, and the line is slower
 * than either. Entry i is i run through the reflected polynomial 0xEDB88320. */
static const uint32_t table[16] EAG_EARLY_DATA = {
    0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
    0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
    0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};

EAG_EARLY uint32_t eag_crc32(const uint8_t *bytes, size_t count) {
  uint32_t crc = 0xFFFFFFFFu;
  while (count--) {
    crc ^= *bytes++;
    crc = (crc >> 4) ^ table[crc & 15];
    crc = (crc >> 4) ^ table[crc & 15];
  }
  return ~crc;
}

static uint32_t load32(const uint8_t *at) {
  return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void append(eag_receiver *r, uint8_t byte) {
  if (r->size == EAG_FRAME_BYTES)
    r->overrun = true;
  else
    r->bytes[r->size++] = byte;
}

static bool good(const eag_receiver *r) {
  if (r->left || r->overrun || r->size < EAG_WIRE_HEADER + EAG_CRC_BYTES) return false;
  size_t body = r->size - (size_t)EAG_CRC_BYTES;
  return eag_crc32(r->bytes, body) == load32(r->bytes + body);
}

static void count_sequence(eag_receiver *r) {
  uint16_t sequence = (uint16_t)(r->bytes[2] | r->bytes[3] << 8);
  uint16_t gap = (uint16_t)(sequence - r->expected);
  /* A number from the past is another host that begins anew, not 60,000 lost frames. */
  if (r->synchronised && gap < 0x8000) r->missing += gap;
  r->synchronised = true;
  r->expected = (uint16_t)(sequence + 1);
}

bool eag_wire_feed(eag_receiver *r, uint8_t byte, size_t *payload) {
  if (byte == EAG_WIRE_DELIMITER) {
    bool whole = r->started && good(r);
    if (whole) {
      r->frames++;
      count_sequence(r);
      *payload = r->size - (size_t)(EAG_WIRE_HEADER + EAG_CRC_BYTES);
    } else if (r->started) {
      r->bad++;
    }
    r->size = 0;
    r->left = 0;
    r->zero = r->started = r->overrun = false;
    return whole;
  }
  r->started = true;
  if (r->left) {
    r->left--;
    append(r, byte);
  } else {
    if (r->zero) append(r, 0);
    r->zero = byte != 0xFF;
    r->left = (uint8_t)(byte - 1);
  }
  return false;
}

static const uint8_t delimiter EAG_EARLY_DATA = EAG_WIRE_DELIMITER;
static const uint8_t empty EAG_EARLY_DATA = 1;

EAG_EARLY void eag_wire_send(uint8_t *frame, uint8_t type, uint8_t flags, uint16_t sequence,
                             size_t payload, eag_wire_put put) {
  size_t size = EAG_WIRE_HEADER + payload;
  frame[0] = type;
  frame[1] = flags;
  frame[2] = (uint8_t)sequence;
  frame[3] = (uint8_t)(sequence >> 8);
  uint32_t crc = eag_crc32(frame, size);
  for (int i = 0; i < EAG_CRC_BYTES; i++, crc >>= 8) frame[size++] = (uint8_t)crc;

  /* The leading delimiter ends whatever noise or cut frame came before. */
  put(&delimiter, 1);
  const uint8_t *at = frame, *end = frame + size;
  for (;;) {
    uint8_t run = 0;
    while (run < 254 && at + run < end && at[run]) run++;
    uint8_t code = (uint8_t)(run + 1);
    put(&code, 1);
    put(at, run);
    at += run;
    if (at == end) break;
    if (run < 254) at++; /* the zero that the code stands for */
    if (at == end) {
      /* The data ends in a zero: one more, empty block says so. */
      put(&empty, 1);
      break;
    }
  }
  put(&delimiter, 1);
}
