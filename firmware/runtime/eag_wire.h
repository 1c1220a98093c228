/* Frames on a byte stream: COBS, CRC-32, sequence numbers. No I/O: bytes are fed in one by one and
 * leave through a function. docs/protocol.md describes the layout.
 */
#ifndef EAG_WIRE_H
#define EAG_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eag_wire_defs.h"

#define EAG_CRC_BYTES 4
#define EAG_FRAME_BYTES (EAG_WIRE_HEADER + EAG_WIRE_MAX_PAYLOAD + EAG_CRC_BYTES)

/* One direction's receiver. All zero is its initial state. */
typedef struct {
  uint32_t frames;   /* good ones */
  uint32_t bad;      /* pieces between delimiters that were none */
  uint32_t missing;  /* frames that the sequence numbers say were lost */
  uint16_t expected; /* next sequence number */
  uint16_t size;     /* bytes decoded so far */
  uint8_t left;      /* bytes until the next code byte */
  bool zero;         /* a zero is due before the next block */
  bool started;      /* bytes since the last delimiter */
  bool overrun;      /* longer than any frame */
  bool synchronised; /* `expected` is known */
  uint8_t bytes[EAG_FRAME_BYTES];
} eag_receiver;

/* Takes one byte; true when it ends a good frame, whose header and payload then stand in `bytes`
 * until the next byte is fed. `*payload` is the payload's size. */
bool eag_wire_feed(eag_receiver *receiver, uint8_t byte, size_t *payload);

typedef void (*eag_wire_put)(const uint8_t *bytes, size_t count);

/* Sends a frame. `frame` holds EAG_WIRE_HEADER bytes to be filled in, the payload, and room for
 * the CRC after it. */
void eag_wire_send(uint8_t *frame, uint8_t type, uint8_t flags, uint16_t sequence, size_t payload,
                   eag_wire_put put);

/* CRC-32/ISO-HDLC (the one of zlib and Ethernet). */
uint32_t eag_crc32(const uint8_t *bytes, size_t count);

#endif
