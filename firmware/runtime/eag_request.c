#include "eag_request.h"

#include "eag_cbor.h"
#include "eag_libc.h"
#include "eag_wire_defs.h"

static const uint8_t field_keys[EAG_FIELDS] = {
    EAG_KEY_REQUEST, EAG_KEY_MODEL, EAG_KEY_OFFSET, EAG_KEY_LENGTH, EAG_KEY_TENSOR,
    EAG_KEY_SEED,    EAG_KEY_FIRST, EAG_KEY_STEP,   EAG_KEY_BLOCK,  EAG_KEY_ON,
    EAG_KEY_BAUD,    EAG_KEY_COUNT, EAG_KEY_RATE,   EAG_KEY_PERIOD_CYCLES};

bool eag_request_parse(eag_request *q, const uint8_t *at, size_t size) {
  eag_cbor_reader r = {at, at + size};
  uint8_t major;
  uint64_t pairs, number, value;
  memset(q, 0, sizeof *q);
  if (!eag_cbor_head(&r, &major, &pairs) || major != EAG_CBOR_MAP || pairs > size) return false;
  for (uint32_t left = (uint32_t)pairs; left; left--) {
    if (!eag_cbor_head(&r, &major, &number) || major != EAG_CBOR_UINT) return false;
    eag_cbor_reader item = r;
    uint32_t field = 0;
    if (number == EAG_KEY_DATA) {
      if (!eag_cbor_head(&r, &major, &value) || major != EAG_CBOR_BYTES) return false;
      q->data = r.at;
      q->data_size = (uint32_t)value;
      q->has |= EAG_BIT(EAG_FIELD_DATA);
      r = item;
      field = EAG_FIELDS;
    }
    while (field < EAG_FIELDS && field_keys[field] != number) field++;
    if (field == EAG_FIELDS) {
      /* Somebody else's, or of a newer minor version. */
      if (number >= EAG_KEYS) q->unknown_keys++;
      if (!eag_cbor_skip(&r)) return false;
      continue;
    }
    if (!eag_cbor_head(&r, &major, &value)) return false;
    if (major == EAG_CBOR_SIMPLE && (value == 20 || value == 21))
      value -= 20;
    else if (major != EAG_CBOR_UINT)
      return false;
    if (value >> 32) return false;
    q->value[field] = (uint32_t)value;
    q->has |= EAG_BIT(field);
  }
  return r.at == r.end;
}
