/* The firmware's wire as a filter, for tests.
 *
 *   decode   stdin: bytes of a line. stdout: each good frame as u16 size, header and payload; at
 *            the end u16 0xFFFF and the counters good, bad, missing as u32. Little-endian.
 *   encode   stdin: records of u16 size, type, flags, u16 sequence, payload. stdout: line bytes.
 *   skip     stdin: records of u16 size, bytes. stdout: a byte each, how many bytes eag_cbor_skip
 *            took of them, 255 when it refused.
 *   heads    stdin: records of u16 size, bytes. stdout: what eag_cbor_put writes for each head read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eag_cbor.h"
#include "eag_wire.h"

static void put(const uint8_t *bytes, size_t count) { fwrite(bytes, 1, count, stdout); }

static void put_number(uint32_t value, int bytes) {
  for (; bytes; bytes--, value >>= 8) putchar((int)(value & 255));
}

static int get_record(uint8_t *bytes) {
  int low = getchar(), high = getchar();
  if (high == EOF) return -1;
  size_t size = (size_t)low | (size_t)high << 8;
  return fread(bytes, 1, size, stdin) == size ? (int)size : -1;
}

static void decode(void) {
  /* On the heap and exactly as large as it says, so that a sanitizer sees a byte too many. */
  eag_receiver *receiver = calloc(1, sizeof *receiver);
  size_t payload;
  for (int byte; (byte = getchar()) != EOF;)
    if (eag_wire_feed(receiver, (uint8_t)byte, &payload)) {
      put_number((uint32_t)(EAG_WIRE_HEADER + payload), 2);
      put(receiver->bytes, EAG_WIRE_HEADER + payload);
    }
  put_number(0xFFFF, 2);
  put_number(receiver->frames, 4);
  put_number(receiver->bad, 4);
  put_number(receiver->missing, 4);
  free(receiver);
}

static void encode(void) {
  uint8_t *frame = malloc(EAG_FRAME_BYTES);
  for (int size; (size = get_record(frame)) >= EAG_WIRE_HEADER;) {
    uint16_t sequence = (uint16_t)(frame[2] | frame[3] << 8);
    eag_wire_send(frame, frame[0], frame[1], sequence, (size_t)size - EAG_WIRE_HEADER, put);
  }
  free(frame);
}

static void skip(void) {
  static uint8_t record[65536];
  for (int size; (size = get_record(record)) >= 0;) {
    uint8_t *exact = malloc((size_t)size + !size);
    memcpy(exact, record, (size_t)size);
    eag_cbor_reader reader = {exact, exact + size};
    bool whole = eag_cbor_skip(&reader);
    put_number(whole ? (uint32_t)(reader.at - exact) : 255, 1);
    free(exact);
  }
}

static void heads(void) {
  static uint8_t record[65536];
  for (int size; (size = get_record(record)) >= 0;) {
    eag_cbor_reader reader = {record, record + size};
    uint8_t major, room[9];
    uint64_t argument;
    while (eag_cbor_head(&reader, &major, &argument)) {
      eag_cbor_writer writer = {.at = room, .end = room + sizeof room};
      eag_cbor_put(&writer, major, argument);
      put(room, (size_t)(writer.at - room));
    }
  }
}

int main(int count, char **arguments) {
  const char *mode = count > 1 ? arguments[1] : "";
  if (!strcmp(mode, "decode"))
    decode();
  else if (!strcmp(mode, "encode"))
    encode();
  else if (!strcmp(mode, "skip"))
    skip();
  else if (!strcmp(mode, "heads"))
    heads();
  else
    return 2;
  return fflush(stdout) ? 1 : 0;
}
