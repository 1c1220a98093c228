/* A request's payload as the server wants it: numbers by field, and the data. */
#ifndef EAG_REQUEST_H
#define EAG_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The keys with a number for a value. */
enum {
  EAG_FIELD_REQUEST,
  EAG_FIELD_MODEL,
  EAG_FIELD_OFFSET,
  EAG_FIELD_LENGTH,
  EAG_FIELD_TENSOR,
  EAG_FIELD_SEED,
  EAG_FIELD_FIRST,
  EAG_FIELD_STEP,
  EAG_FIELD_BLOCK,
  EAG_FIELD_ON,
  EAG_FIELD_BAUD,
  EAG_FIELD_COUNT,
  EAG_FIELD_RATE,
  EAG_FIELD_PERIOD,
  EAG_FIELDS,
  EAG_FIELD_DATA = EAG_FIELDS
};

typedef struct {
  uint32_t value[EAG_FIELDS]; /* 0 where the key was not there */
  uint32_t has;           /* EAG_BIT(field) of those that were */
  const uint8_t *data;
  uint32_t data_size;
  uint32_t unknown_keys; /* of a newer minor version */
} eag_request;

#define EAG_BIT(field) (1u << (field))

/* Reads a payload. False: not a map with unsigned keys, or a value of the wrong type; what was read
 * by then stands. */
bool eag_request_parse(eag_request *request, const uint8_t *payload, size_t size);

#endif
