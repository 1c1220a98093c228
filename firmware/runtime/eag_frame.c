#include "eag_frame.h"

#include "eag_port.h"
#include "eag_profiler.h"
#include "eag_wire.h"

#define RESULT_BYTES 64

eag_cbor_writer eag_writer;
static uint8_t frame[EAG_FRAME_BYTES];
static uint16_t sequence;

static void to_line(const uint8_t *bytes, size_t count) {
  while (count) {
    size_t taken = eag_port_write(bytes, count);
    bytes += taken;
    count -= taken;
    if (count) eag_port_sleep();
  }
}

void eag_begin(void) {
  eag_writer.at = frame + EAG_WIRE_HEADER;
  eag_writer.end = eag_writer.at + EAG_WIRE_MAX_PAYLOAD;
  eag_writer.full = false;
  eag_cbor_open(&eag_writer, EAG_CBOR_MAP);
}

void eag_send(uint8_t type, uint8_t flags) {
  size_t payload = (size_t)(eag_writer.at - frame) - EAG_WIRE_HEADER;
  eag_wire_send(frame, type, flags, sequence++, payload, to_line);
}

void eag_key(uint32_t key) {
  eag_cbor_entry(&eag_writer);
  eag_cbor_put(&eag_writer, EAG_CBOR_UINT, key);
}

void eag_put64(uint32_t key, uint64_t value) {
  eag_key(key);
  eag_cbor_put(&eag_writer, EAG_CBOR_UINT, value);
}

void eag_put(uint32_t key, uint32_t value) { eag_put64(key, value); }

void eag_put_data(uint32_t key, const void *bytes, uint32_t count) {
  eag_key(key);
  eag_cbor_put_bytes(&eag_writer, EAG_CBOR_BYTES, bytes, count);
}

void eag_put_text(uint32_t key, const char *text, uint32_t most) {
  uint32_t count = 0;
  while (count < most && text[count]) count++;
  eag_key(key);
  eag_cbor_put_bytes(&eag_writer, EAG_CBOR_TEXT, text, count);
}

void eag_put_sizes(uint32_t key, const uint32_t *size, uint32_t count) {
  _Static_assert(sizeof(eag_tensor) == sizeof(eag_block), "one stride serves both");
  eag_key(key);
  eag_cbor_put(&eag_writer, EAG_CBOR_ARRAY, count);
  for (; count; count--) {
    eag_cbor_put(&eag_writer, EAG_CBOR_UINT, *size);
    size = (const uint32_t *)((const uint8_t *)size + sizeof(eag_tensor));
  }
}

static void put_sensor(uint32_t key, int32_t value) {
  if (value == INT32_MIN) return;
  eag_key(key);
  if (value < 0)
    eag_cbor_put(&eag_writer, EAG_CBOR_NEGATIVE, (uint32_t)(-1 - value));
  else
    eag_cbor_put(&eag_writer, EAG_CBOR_UINT, (uint32_t)value);
}

void eag_put_sensors(void) {
  put_sensor(EAG_KEY_SUPPLY_MV, eag_port_supply_mv());
  put_sensor(EAG_KEY_DIE_DECICELSIUS, eag_port_die_decicelsius());
}

void eag_put_stack(void) {
  if (eag_stack_size()) eag_put(EAG_KEY_STACK_USED, eag_stack_used());
}

void eag_put_result(const eag_model *model) {
  uint8_t bytes[RESULT_BYTES];
  uint32_t count = 0;
  for (uint32_t i = 0; i < model->output_count; i++) {
    const uint8_t *at = model->outputs[i].data;
    for (uint32_t left = model->outputs[i].size; left && count < RESULT_BYTES; left--)
      bytes[count++] = *at++;
  }
  eag_put_stack();
  eag_put_data(EAG_KEY_RESULT, bytes, count);
}
