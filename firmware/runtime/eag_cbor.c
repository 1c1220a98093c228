#include "eag_cbor.h"

bool eag_cbor_head(eag_cbor_reader *r, uint8_t *major, uint64_t *argument) {
  if (r->at == r->end) return false;
  uint8_t head = *r->at++;
  *major = head >> 5;
  uint32_t info = head & 31;
  if (info < 24) {
    *argument = info;
    return true;
  }
  if (info > 27) return false;
  uint32_t bytes = 1u << (info - 24), high = 0, low = 0;
  if ((size_t)(r->end - r->at) < bytes) return false;
  while (bytes--) {
    high = high << 8 | low >> 24;
    low = low << 8 | *r->at++;
  }
  *argument = (uint64_t)high << 32 | low;
  return true;
}

bool eag_cbor_skip(eag_cbor_reader *r) {
  /* Items still to come; no recursion, so that nesting costs no stack. Every item takes at least
   * a byte: a count beyond what is left is refused before it can overflow. */
  uint32_t items = 1;
  while (items--) {
    uint8_t major;
    uint64_t argument;
    if (!eag_cbor_head(r, &major, &argument)) return false;
    size_t room = (size_t)(r->end - r->at);
    if (major == EAG_CBOR_TAG) argument = 1;
    if (major < EAG_CBOR_BYTES || major == EAG_CBOR_SIMPLE) continue;
    if (argument > room) return false;
    if (major <= EAG_CBOR_TEXT)
      r->at += (size_t)argument;
    else
      items += (uint32_t)argument << (major == EAG_CBOR_MAP);
  }
  return true;
}

static void put_byte(eag_cbor_writer *w, uint32_t byte) {
  if (w->at == w->end)
    w->full = true;
  else
    *w->at++ = (uint8_t)byte;
}

void eag_cbor_put(eag_cbor_writer *w, uint8_t major, uint64_t argument) {
  uint32_t high = (uint32_t)(argument >> 32), low = (uint32_t)argument;
  uint32_t head = (uint32_t)major << 5;
  if (!high && low < 24) {
    put_byte(w, head | low);
    return;
  }
  uint32_t info = high ? 3 : low >> 16 ? 2 : low >> 8 ? 1 : 0;
  put_byte(w, head | 24 | info);
  for (uint32_t left = 1u << info; left--;)
    put_byte(w, (left >= 4 ? high : low) >> 8 * (left & 3));
}

void eag_cbor_put_bytes(eag_cbor_writer *w, uint8_t major, const void *bytes, size_t count) {
  const uint8_t *at = bytes;
  eag_cbor_put(w, major, count);
  while (count--) put_byte(w, *at++);
}

uint8_t *eag_cbor_open(eag_cbor_writer *w, uint8_t major) {
  uint8_t *outside = w->container;
  /* When the writer is full the count goes to a byte that is thrown away with the rest. */
  w->container = w->at == w->end ? w->end - 1 : w->at;
  put_byte(w, (uint32_t)major << 5);
  return outside;
}
