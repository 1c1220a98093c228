#include "eag_server.h"

#include "eag_burst.h"
#include "eag_cbor.h"
#include "eag_frame.h"
#include "eag_image.h"
#include "eag_libc.h"
#include "eag_port.h"
#include "eag_profiler.h"
#include "eag_request.h"
#include "eag_wire.h"

/* Requests of the largest size that the port's receive ring can hold while an inference runs. */
#ifdef EAG_PORT_WINDOW
#define WINDOW EAG_PORT_WINDOW
#else
#define WINDOW 7
#endif
/* Bytes of data in one answer: what max_payload leaves beside the other keys. */
#define PIECE 480
/* Characters of an error's detail, and of the log's lines. */
#define WORDS 96

/* What was done for the requests that must not be done twice, the latest ones. */
typedef struct {
  uint64_t cycles;
  uint32_t request, seed;
  uint32_t type;
} outcome;

static struct {
  uint64_t next_heartbeat, next_run, line_since;
  uint32_t heartbeats, unknown_types, unknown_keys, retries, runs;
  uint32_t run_sequence, run_seed, run_period;
  uint32_t baud, baud_before, line_frames, line_bad;
  uint32_t next_step;
  uint8_t oldest;
  uint8_t step_model, run_model;
  bool running, run_seeded, baud_trial;
  outcome done[WINDOW];
} s;

#define NEEDS(field) EAG_BIT(EAG_FIELD_##field)
#define HAS(field) (q.has >> EAG_FIELD_##field & 1)
#define VALUE(field) q.value[EAG_FIELD_##field]

static const eag_model *model; /* the request's */
static uint8_t model_index;
static const char *blame;
static eag_request q;
static eag_receiver rx;

static void log_line(const char *words) {
  eag_begin();
  eag_put_text(EAG_KEY_DETAIL, words, WORDS);
  eag_send(EAG_EVENT_LOG, 0);
}

static void put_state(void) { eag_put(EAG_KEY_STATE, s.running); }

static void put_uptime(uint64_t now) { eag_put64(EAG_KEY_UPTIME_CYCLES, now); }

static void heartbeat(uint64_t now) {
  if (now < s.next_heartbeat) return;
  s.next_heartbeat = now + eag_port_clock_hz() / 2;
  eag_begin();
  eag_put(EAG_KEY_SEQUENCE, s.heartbeats++);
  put_state();
  put_uptime(now);
  eag_put(EAG_KEY_RUNS, s.runs);
  bool working = eag_running.step != EAG_NO_STEP;
  if (working) {
    eag_put(EAG_KEY_STEP, eag_running.step);
    if (!s.running) eag_put(EAG_KEY_REQUEST, VALUE(REQUEST));
  }
  eag_send(EAG_EVENT_HEARTBEAT, 0);
  /* Sent before the step begins, so that no interrupt of the line's falls into what it counts. */
  if (working) eag_port_write_flush();
}

static void between_steps(void) { heartbeat(eag_port_cycles()); }

static uint64_t infer(uint8_t index, bool keep) {
  eag_running.model = index;
  s.next_step = 0;
  eag_port_write_flush();
  eag_port_timing_gpio(true);
  uint64_t cycles = eag_run_model(eag_models[index], keep, between_steps);
  eag_port_timing_gpio(false);
  s.runs++;
  return cycles;
}

static void free_run(uint64_t now) {
  const eag_model *m = eag_models[s.run_model];
  s.next_run += s.run_period;
  /* Behind its period: from here on, rather than a burst to catch up. */
  if (s.next_run < now) s.next_run = now;
  if (s.run_seeded) s.run_seed = eag_fill_inputs(m, s.run_seed);
  uint64_t cycles = infer(s.run_model, false);
  const char *words;
  if (eag_engine_state(m, &words) != EAG_ENGINE_READY) {
    s.running = false;
    log_line(words);
    return;
  }
  eag_begin();
  eag_put(EAG_KEY_MODEL, s.run_model);
  eag_put(EAG_KEY_SEQUENCE, s.run_sequence++);
  eag_put64(EAG_KEY_CYCLES, cycles);
  if (s.run_seeded) eag_put(EAG_KEY_SEED, s.run_seed);
  eag_put_result(m);
  put_uptime(now);
  eag_put_sensors();
  eag_send(EAG_EVENT_RECORD, 0);
}

/* Requests. Each writes its answer's keys, or gives an error's code and may set `blame`. */

static uint8_t out_of_range(const char *what) {
  blame = what;
  return EAG_ERROR_OUT_OF_RANGE;
}

/* Whether the request's model can run; else why not. */
static uint8_t unready(void) {
  static const uint8_t codes[] = {[EAG_ENGINE_ARENA_TOO_SMALL] = EAG_ERROR_ARENA_TOO_SMALL,
                                  [EAG_ENGINE_FAILED] = EAG_ERROR_ENGINE_FAILED};
  return codes[eag_engine_state(model, &blame)];
}

static void put_model(const eag_model *m) {
  uint8_t *outside = eag_cbor_open(&eag_writer, EAG_CBOR_MAP);
  eag_put_text(EAG_KEY_NAME, m->name, 32);
  eag_put_data(EAG_KEY_SHA256, m->sha256, 32);
  eag_put_sizes(EAG_KEY_INPUTS, &m->inputs->size, m->input_count);
  eag_put_sizes(EAG_KEY_OUTPUTS, &m->outputs->size, m->output_count);
  eag_put(EAG_KEY_STEP_COUNT, m->step_count);
  eag_put_sizes(EAG_KEY_ARENA, &m->arena->size, m->arena_count);
  eag_put(EAG_KEY_TOTAL, m->description_size);
  eag_cbor_close(&eag_writer, outside);
}

static uint8_t hello(void) {
  uint8_t uid[16];
  memset(s.done, 0, sizeof s.done);
  eag_key(EAG_KEY_PROTOCOL);
  eag_cbor_put(&eag_writer, EAG_CBOR_ARRAY, 2);
  eag_cbor_put(&eag_writer, EAG_CBOR_UINT, EAG_WIRE_MAJOR);
  eag_cbor_put(&eag_writer, EAG_CBOR_UINT, EAG_WIRE_MINOR);
  eag_put_data(EAG_KEY_UID, uid, eag_port_uid(uid));
  if (eag_port_boot_count()) eag_put(EAG_KEY_BOOT_COUNT, eag_port_boot_count());
  eag_put_data(EAG_KEY_BUILD_ID, eag_image.build_id, sizeof eag_image.build_id);
  eag_put_text(EAG_KEY_BOARD, eag_image.board, sizeof eag_image.board);
  uint32_t can = EAG_CAPABILITY_PROFILE | EAG_CAPABILITY_STEP | EAG_CAPABILITY_PEEK |
                 EAG_CAPABILITY_FREE_RUN | EAG_CAPABILITY_BAUD;
  if (eag_port_supply_mv() != INT32_MIN) can |= EAG_CAPABILITY_SUPPLY;
  if (eag_port_die_decicelsius() != INT32_MIN) can |= EAG_CAPABILITY_TEMPERATURE;
  eag_put(EAG_KEY_CAPABILITIES, can);
  eag_put(EAG_KEY_MAX_PAYLOAD, EAG_WIRE_MAX_PAYLOAD);
  eag_put(EAG_KEY_WINDOW, WINDOW);
  eag_put(EAG_KEY_CLOCK_HZ, eag_port_clock_hz());
#ifdef EAG_PORT_COUNTER
  eag_put(EAG_KEY_COUNTER, EAG_PORT_COUNTER);
#endif
  eag_put(EAG_KEY_RESET_CAUSE, eag_port_reset_cause());
  put_state();
  put_uptime(eag_port_cycles());
  eag_put(EAG_KEY_COUNT, eag_model_count);
  eag_key(EAG_KEY_MODELS);
  uint8_t *outside = eag_cbor_open(&eag_writer, EAG_CBOR_ARRAY);
  for (uint32_t i = VALUE(FIRST); i < eag_model_count; i++) {
    eag_cbor_writer before = eag_writer;
    eag_cbor_entry(&eag_writer);
    put_model(eag_models[i]);
    if (eag_writer.full) {
      /* No room for this one: the host asks for the rest. */
      eag_writer = before;
      --*eag_writer.container;
      break;
    }
  }
  eag_cbor_close(&eag_writer, outside);
  return 0;
}

/* A piece of `size` bytes at `base`, as offset and length ask for. */
static uint8_t piece(const void *base, uint32_t size) {
  uint32_t offset = VALUE(OFFSET);
  if (offset > size) return out_of_range("offset");
  uint32_t count = size - offset;
  if (HAS(LENGTH) && count > VALUE(LENGTH)) count = VALUE(LENGTH);
  if (count > PIECE) count = PIECE;
  eag_put(EAG_KEY_OFFSET, offset);
  eag_put(EAG_KEY_TOTAL, size);
  eag_put_data(EAG_KEY_DATA, (const uint8_t *)base + offset, count);
  return 0;
}

static uint8_t describe(void) { return piece(model->description, model->description_size); }

static uint8_t write(void) {
  if (VALUE(TENSOR) >= model->input_count) return out_of_range("tensor");
  const eag_tensor *input = &model->inputs[VALUE(TENSOR)];
  uint32_t offset = VALUE(OFFSET);
  if (offset > input->size || q.data_size > input->size - offset) return out_of_range("offset");
  memcpy((uint8_t *)input->data + offset, q.data, q.data_size);
  return 0;
}

static uint8_t read(void) {
  if (VALUE(TENSOR) >= model->output_count) return out_of_range("tensor");
  const eag_tensor *output = &model->outputs[VALUE(TENSOR)];
  return piece(output->data, output->size);
}

static uint8_t peek(void) {
  eag_block block = eag_model_block(model, VALUE(BLOCK));
  return block.base ? piece(block.base, block.size) : out_of_range("block");
}

static uint8_t steps(void) {
  uint32_t total = model->step_count < EAG_MAX_STEPS ? model->step_count : EAG_MAX_STEPS;
  uint32_t first = VALUE(FIRST);
  if (first > total) return out_of_range("first");
  uint32_t count = total - first;
  if (HAS(COUNT) && count > VALUE(COUNT)) count = VALUE(COUNT);
  /* A value takes five bytes at most. */
  if (count > PIECE / 5) count = PIECE / 5;
  eag_put(EAG_KEY_FIRST, first);
  eag_put(EAG_KEY_TOTAL, total);
  eag_key(EAG_KEY_VALUES);
  eag_cbor_put(&eag_writer, EAG_CBOR_ARRAY, count);
  while (count--) eag_cbor_put(&eag_writer, EAG_CBOR_UINT, eag_step_cycles[first++]);
  return 0;
}

static uint8_t stats(void) {
  eag_put_stack();
  if (eag_stack_size()) eag_put(EAG_KEY_STACK_SIZE, eag_stack_size());
  if (model) {
    eag_key(EAG_KEY_ARENA_USED);
    eag_cbor_put(&eag_writer, EAG_CBOR_ARRAY, model->arena_count);
    for (uint32_t i = 0; i < model->arena_count; i++)
      eag_cbor_put(&eag_writer, EAG_CBOR_UINT, eag_arena_used(model, i));
  }
  put_uptime(eag_port_cycles());
  eag_put_sensors();
  eag_put(EAG_KEY_RX_FRAMES, rx.frames);
  eag_put(EAG_KEY_RX_BAD, rx.bad);
  if (eag_port_rx_lost() != UINT32_MAX) eag_put(EAG_KEY_RX_LOST, eag_port_rx_lost());
  eag_put(EAG_KEY_RX_MISSING, rx.missing);
  eag_put(EAG_KEY_UNKNOWN_TYPES, s.unknown_types);
  eag_put(EAG_KEY_UNKNOWN_KEYS, s.unknown_keys);
  eag_put(EAG_KEY_RETRIES, s.retries);
  eag_put(EAG_KEY_RUNS, s.runs);
  put_state();
  return 0;
}

static uint8_t set_baud(void) {
  if (!eag_port_can_baud(VALUE(BAUD))) return out_of_range("baud");
  eag_put(EAG_KEY_BAUD, VALUE(BAUD));
  return 0;
}

static uint8_t reset(void) { return 0; }

static uint8_t echo(void) {
  if (q.data_size > PIECE) return out_of_range("data");
  eag_put_data(EAG_KEY_DATA, q.data, q.data_size);
  return 0;
}

/* Does what must not be done twice. */
static uint8_t perform(uint8_t type, outcome *result) {
  uint64_t now = eag_port_cycles();
  if (type == EAG_REQUEST_FREE_RUN) {
    s.running = VALUE(ON);
    s.run_model = model_index;
    s.run_seeded = HAS(SEED);
    s.run_seed = VALUE(SEED);
    s.run_period = VALUE(PERIOD);
    s.run_sequence = 0;
    s.next_run = now;
    return 0;
  }
  if (type == EAG_REQUEST_BURST) {
    uint32_t rate = VALUE(RATE);
    if (!rate) return out_of_range("rate");
    if (VALUE(LENGTH) > PIECE || (VALUE(LENGTH) && !model) ||
        (model && VALUE(LENGTH) > model->description_size))
      return out_of_range("length");
    eag_burst_start(VALUE(COUNT), rate, model ? model->description : NULL, VALUE(LENGTH));
    return 0;
  }
  if (s.running) return EAG_ERROR_BUSY;
  if (type == EAG_REQUEST_STEP) {
    uint32_t step = VALUE(STEP);
    if (step >= model->step_count) return out_of_range("step");
    if (step && (step != s.next_step || model_index != s.step_model)) return EAG_ERROR_NOT_READY;
    s.step_model = eag_running.model = model_index;
    eag_port_write_flush();
    result->cycles = eag_run_step(model, step);
    s.next_step = step + 1;
    return unready();
  }
  if (HAS(SEED)) result->seed = eag_fill_inputs(model, VALUE(SEED));
  result->cycles = infer(model_index, type == EAG_REQUEST_PROFILE);
  /* Heartbeats were written over the answer's beginning. */
  eag_begin();
  eag_put(EAG_KEY_REQUEST, VALUE(REQUEST));
  return unready();
}

static uint8_t act(uint8_t type) {
  const outcome *result = NULL;
  for (uint32_t i = 0; i < WINDOW; i++)
    if (s.done[i].type == type && s.done[i].request == VALUE(REQUEST)) result = &s.done[i];
  if (result) {
    s.retries++;
  } else {
    outcome fresh = {.request = VALUE(REQUEST), .type = type};
    uint8_t code = perform(type, &fresh);
    if (code) return code;
    outcome *slot = &s.done[s.oldest];
    s.oldest = (uint8_t)((s.oldest + 1) % WINDOW);
    *slot = fresh;
    result = slot;
  }
  if (type == EAG_REQUEST_BURST) return 0;
  if (type == EAG_REQUEST_FREE_RUN) {
    put_state();
    return 0;
  }
  eag_put64(EAG_KEY_CYCLES, result->cycles);
  if (type == EAG_REQUEST_STEP) {
    eag_put(EAG_KEY_STEP, VALUE(STEP));
    return 0;
  }
  if (HAS(SEED)) eag_put(EAG_KEY_SEED, result->seed);
  eag_put_result(model);
  if (type == EAG_REQUEST_PROFILE) eag_put(EAG_KEY_STEP_COUNT, model->step_count);
  return 0;
}

/* What a request needs, and who answers it; no handler: act. `ready`: a model that can run. */
typedef struct {
  uint8_t (*handle)(void);
  uint32_t needs;
  bool ready;
} row;
static const row rows[EAG_REQUESTS] = {
    [EAG_REQUEST_HELLO] = {hello, 0, false},
    [EAG_REQUEST_DESCRIBE] = {describe, NEEDS(MODEL) | NEEDS(OFFSET), false},
    [EAG_REQUEST_WRITE] = {write, NEEDS(MODEL) | NEEDS(TENSOR) | NEEDS(OFFSET) | NEEDS(DATA), true},
    [EAG_REQUEST_READ] = {read, NEEDS(MODEL) | NEEDS(TENSOR) | NEEDS(OFFSET), true},
    [EAG_REQUEST_INVOKE] = {NULL, NEEDS(MODEL), true},
    [EAG_REQUEST_PROFILE] = {NULL, NEEDS(MODEL), true},
    [EAG_REQUEST_STEPS] = {steps, NEEDS(MODEL) | NEEDS(FIRST), false},
    [EAG_REQUEST_STEP] = {NULL, NEEDS(MODEL) | NEEDS(STEP), true},
    [EAG_REQUEST_PEEK] = {peek, NEEDS(MODEL) | NEEDS(BLOCK) | NEEDS(OFFSET), false},
    [EAG_REQUEST_STATS] = {stats, 0, false},
    [EAG_REQUEST_FREE_RUN] = {NULL, NEEDS(MODEL) | NEEDS(ON), true},
    [EAG_REQUEST_BAUD] = {set_baud, NEEDS(BAUD), false},
    [EAG_REQUEST_RESET] = {reset, 0, false},
    [EAG_REQUEST_ECHO] = {echo, NEEDS(DATA), false},
    [EAG_REQUEST_BURST] = {NULL, NEEDS(COUNT) | NEEDS(RATE), false},
};

static uint8_t answer(uint8_t type, bool parsed) {
  if (type >= EAG_REQUESTS || !type) {
    s.unknown_types++;
    return EAG_ERROR_UNKNOWN_TYPE;
  }
  const row *r = &rows[type];
  uint32_t needs = r->needs | NEEDS(REQUEST);
  if (!parsed || (q.has & needs) != needs) return EAG_ERROR_BAD_REQUEST;
  model_index = (uint8_t)VALUE(MODEL);
  if (VALUE(MODEL) < eag_model_count)
    model = eag_models[model_index];
  else if (HAS(MODEL))
    return EAG_ERROR_UNKNOWN_MODEL;
  uint8_t code = r->ready ? unready() : 0;
  if (code) return code;
  return r->handle ? r->handle() : act(type);
}

static void change_baud(uint32_t baud) {
  eag_port_write_flush();
  s.baud_before = s.baud;
  s.baud = baud;
  s.line_since = eag_port_cycles();
  s.line_frames = rx.frames;
  s.line_bad = rx.bad;
  eag_port_set_baud(baud);
}

static void dispatch(size_t payload) {
  uint8_t type = rx.bytes[0];
  /* Answers and events are the other direction's. */
  if ((rx.bytes[1] & EAG_FLAG_RESPONSE) || type >= 0x80) {
    s.unknown_types++;
    return;
  }
  bool parsed = eag_request_parse(&q, rx.bytes + EAG_WIRE_HEADER, payload);
  s.unknown_keys += q.unknown_keys;
  uint8_t flags = EAG_FLAG_RESPONSE;
  blame = "";
  model = NULL;
  eag_begin();
  if (HAS(REQUEST)) eag_put(EAG_KEY_REQUEST, VALUE(REQUEST));
  uint8_t code = answer(type, parsed);
  if (code) {
    flags |= EAG_FLAG_ERROR;
    eag_begin();
    if (HAS(REQUEST)) eag_put(EAG_KEY_REQUEST, VALUE(REQUEST));
    eag_put(EAG_KEY_CODE, code);
    eag_put_text(EAG_KEY_DETAIL, blame, WORDS);
  }
  eag_send(type, flags);
  if (code) return;
  if (type == EAG_REQUEST_RESET) {
    eag_port_write_flush();
    eag_port_reset();
  }
  if (type == EAG_REQUEST_BAUD) {
    change_baud(VALUE(BAUD));
    s.baud_trial = true;
  }
}

/* Two seconds that bring nothing good are enough to give a line speed up: at once after a change,
 * later only when bad frames say that somebody speaks another one. */
static void watch_line(uint64_t now) {
  if (rx.frames != s.line_frames) {
    s.line_frames = rx.frames;
    s.line_bad = rx.bad;
    s.baud_trial = false;
  }
  if (!s.baud_trial && rx.bad == s.line_bad) s.line_since = now;
  if (now - s.line_since < 2ull * eag_port_clock_hz()) return;
  if (s.baud_trial || (s.baud != EAG_WIRE_BAUD && rx.bad - s.line_bad >= 8)) {
    change_baud(s.baud_trial ? s.baud_before : EAG_WIRE_BAUD);
    s.baud_trial = false;
  } else {
    /* Noise now and then: what counts is two seconds' worth of it. */
    s.line_since = now;
    s.line_bad = rx.bad;
  }
}

void eag_server_init(void) {
  s.baud = EAG_WIRE_BAUD;
  const char *trouble = eag_port_trouble();
  log_line(trouble ? trouble : "boot");
  for (unsigned i = 0; i < eag_model_count; i++) {
    eag_arena_paint(eag_models[i]);
    if (eag_engine_start(eag_models[i], &trouble) != EAG_ENGINE_READY) log_line(trouble);
  }
}

bool eag_server_poll(void) {
  uint8_t chunk[32];
  size_t count = eag_port_read(chunk, sizeof chunk);
  for (size_t i = 0; i < count; i++) {
    size_t payload;
    if (eag_wire_feed(&rx, chunk[i], &payload)) dispatch(payload);
  }
  uint64_t now = eag_port_cycles();
  watch_line(now);
  heartbeat(now);
  /* What is due before an interrupt can be relied on to wake us is worth spinning for; while the
   * line sends, there is one every byte. */
  uint64_t soon = eag_port_write_idle() ? now + eag_port_clock_hz() / 8 : 0;
  bool busy = count != 0;
  busy |= eag_burst_poll(now, soon);
  if (s.running) {
    if (now >= s.next_run) free_run(now);
    busy |= soon > s.next_run;
  }
  return busy;
}

void eag_on_fault(const uint32_t *frame, uint32_t cfsr, uint32_t hfsr, uint32_t mmfar,
                  uint32_t bfar) {
  eag_begin();
  eag_put(EAG_KEY_PC, frame ? frame[6] : 0);
  eag_put(EAG_KEY_LR, frame ? frame[5] : 0);
  eag_put(EAG_KEY_CFSR, cfsr);
  eag_put(EAG_KEY_HFSR, hfsr);
  if (cfsr & 1u << 7) eag_put(EAG_KEY_MMFAR, mmfar);
  if (cfsr & 1u << 15) eag_put(EAG_KEY_BFAR, bfar);
  if (eag_running.step != EAG_NO_STEP) {
    eag_put(EAG_KEY_MODEL, eag_running.model);
    eag_put(EAG_KEY_STEP, eag_running.step);
  }
  eag_send(EAG_EVENT_FAULT, 0);
}
