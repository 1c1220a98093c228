/* The part of CBOR (RFC 8949) that the wire uses. Readers never look past `end`; a writer that
 * runs out of room says so and writes no further.
 */
#ifndef EAG_CBOR_H
#define EAG_CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  EAG_CBOR_UINT = 0,
  EAG_CBOR_NEGATIVE = 1,
  EAG_CBOR_BYTES = 2,
  EAG_CBOR_TEXT = 3,
  EAG_CBOR_ARRAY = 4,
  EAG_CBOR_MAP = 5,
  EAG_CBOR_TAG = 6,
  EAG_CBOR_SIMPLE = 7, /* false is 20, true 21 */
};

typedef struct {
  const uint8_t *at, *end;
} eag_cbor_reader;

/* Reads an item's head: its major type and its argument (a value, a length, a count). False at
 * the end, for indefinite lengths, and for reserved encodings. */
bool eag_cbor_head(eag_cbor_reader *reader, uint8_t *major, uint64_t *argument);

/* Steps over one item with everything in it; false when it does not end within the buffer. */
bool eag_cbor_skip(eag_cbor_reader *reader);

typedef struct {
  uint8_t *at, *end;
  uint8_t *container; /* head of the map or array being filled: at most 23 entries each */
  bool full;
} eag_cbor_writer;

void eag_cbor_put(eag_cbor_writer *writer, uint8_t major, uint64_t argument);
void eag_cbor_put_bytes(eag_cbor_writer *writer, uint8_t major, const void *bytes, size_t count);

/* Opens a map or an array; entries are counted as they come, so nobody counts ahead. Gives what
 * eag_cbor_close needs to return to the container outside. */
uint8_t *eag_cbor_open(eag_cbor_writer *writer, uint8_t major);
static inline void eag_cbor_close(eag_cbor_writer *writer, uint8_t *outside) {
  writer->container = outside;
}
/* Counts one more entry of the open container. */
static inline void eag_cbor_entry(eag_cbor_writer *writer) { ++*writer->container; }

#endif
