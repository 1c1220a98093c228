#include "eag_tflm.h"

#include <cstddef>
#include <cstdint>
#include <new>

#include "eag_coroutine.h"
#include "eag_text.h"
#include "tensorflow/lite/c/common.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_profiler_interface.h"
#include "tensorflow/lite/schema/schema_generated.h"

extern "C" {
#include "eag_profiler.h"
}

namespace {

const eag_tflm_program_t &program = eag_tflm_program;

struct {
  uint8_t state;
  char words[96];
  uint32_t missing;
  bool finished; /* the library came to the end of what it was asked to do */
  bool preparing;
} now;

/* Only the context tells where the result of an op lies. */
class Interpreter : public tflite::MicroInterpreter {
 public:
  using MicroInterpreter::MicroInterpreter;
  void *Data(uint16_t tensor) {
    const TfLiteContext &with = context();
    return with.GetEvalTensor(&with, tensor)->data.data;
  }
};

alignas(Interpreter) uint8_t place[sizeof(Interpreter)];
Interpreter *interpreter;

/* TFLM's own way to profile: called around each op. What an op does inside, a subgraph's ops
 * perhaps, belongs to it. The end of one op is the end of a step, so that a step is an op and the
 * interpreter's way to it; the last one goes on to the end of the inference. */
class Steps : public tflite::MicroProfilerInterface {
 public:
  uint32_t BeginEvent(const char *) override { return depth_++; }
  void EndEvent(uint32_t depth) override {
    depth_ = depth;
    if (depth) return;
    if (program.results && !program.results[op_].data)
      program.results[op_].data = interpreter->Data(program.result_tensors[op_]);
    if (++op_ < program.step_count) eag_coroutine_leave();
  }
  void Restart() { depth_ = op_ = 0; }

 private:
  uint32_t depth_ = 0, op_ = 0;
};
alignas(Steps) uint8_t steps_place[sizeof(Steps)];
Steps *steps;

void Fail(uint8_t state, const char *words) {
  now.state = state;
  if (words) eag_text_add(now.words, now.words + sizeof now.words, words);
}

bool Connect(eag_tensor *tensors, uint8_t count, TfLiteTensor *(*of)(size_t)) {
  for (uint8_t i = 0; i < count; i++) {
    TfLiteTensor *tensor = of(i);
    if (!tensor || tensor->bytes != tensors[i].size) return false;
    tensors[i].data = tensor->data.data;
  }
  return true;
}

void Prepare() {
  const tflite::Model *model = tflite::GetModel(program.model);
  if (model->version() != TFLITE_SCHEMA_VERSION)
    return Fail(EAG_ENGINE_FAILED, "the model's schema is of another version");
  const tflite::MicroOpResolver *resolver = program.resolver();
  if (!resolver) return Fail(EAG_ENGINE_FAILED, "an op could not be added to the resolver");
  steps = new (steps_place) Steps;
  interpreter = new (place) Interpreter(model, *resolver, program.arena, program.arena_bytes,
                                        nullptr, steps);
  if (interpreter->AllocateTensors() != kTfLiteOk) return Fail(EAG_ENGINE_FAILED, nullptr);
  if (!Connect(program.inputs, program.input_count, [](size_t i) { return interpreter->input(i); }) ||
      !Connect(program.outputs, program.output_count,
               [](size_t i) { return interpreter->output(i); }))
    return Fail(EAG_ENGINE_FAILED, "inputs or outputs have another size than was exported");
  now.finished = true;
}

void Infer() {
  steps->Restart();
  if (interpreter->Invoke() != kTfLiteOk) Fail(EAG_ENGINE_FAILED, nullptr);
  now.finished = true;
}

/* The words for what the allocator could not do. */
void FailArena() {
  uint32_t needed = program.arena_needed;
  const uint32_t least = program.arena_bytes + now.missing;
  const char *how = " B needed";
  if (needed < least) {
    needed = least;
    how = " B needed at least";
  }
  char *at = now.words;
  char *const end = at + sizeof now.words;
  at = eag_text_add(at, end, "the arena of ");
  at = eag_text_add_number(at, end, program.arena_bytes);
  at = eag_text_add(at, end, " B is too small, ");
  at = eag_text_add_number(at, end, needed);
  eag_text_add(at, end, how);
  now.state = EAG_ENGINE_ARENA_TOO_SMALL;
}

}  // namespace

/* What is made here lives for ever; destructors still name these. */
void operator delete(void *) noexcept {}
void operator delete(void *, std::size_t) noexcept {}

void eag_tflm_start(void) {
  now.preparing = true;
#ifdef TF_LITE_STRIP_ERROR_STRINGS
  /* Such a library stumbles over a lack of memory without a word. */
  if (program.arena_bytes < program.arena_needed) return FailArena();
#endif
  eag_coroutine_begin(Prepare);
  eag_coroutine_enter();
  now.preparing = false;
  if (now.missing)
    FailArena();
  else if (!now.finished && now.state == EAG_ENGINE_READY)
    Fail(EAG_ENGINE_FAILED, "TFLM stopped");
}

uint8_t eag_tflm_state(const char **words) {
  *words = now.words;
  return now.state;
}

uint32_t eag_tflm_arena_used(void) {
  return now.state == EAG_ENGINE_READY ? interpreter->arena_used_bytes() : 0;
}

void eag_tflm_step(void) {
  if (now.state != EAG_ENGINE_READY) return;
  if (eag_running.step == 0) {
    now.finished = false;
    now.words[0] = 0;
    eag_coroutine_begin(Infer);
  }
  eag_coroutine_enter();
}

void eag_tflm_said(const char *words) {
  /* The first words are the reason; what follows are consequences. */
  if (!now.words[0]) eag_text_add(now.words, now.words + sizeof now.words, words);
}

void eag_tflm_missing(uint32_t bytes) {
  if (!now.preparing) return;
  now.missing = bytes ? bytes : 1;
  eag_tflm_halt();
}

void eag_tflm_halt(void) {
  if (now.state == EAG_ENGINE_READY) now.state = EAG_ENGINE_FAILED;
  /* Nobody enters again: the next inference begins anew, if there is one. */
  if (eag_coroutine_inside()) eag_coroutine_leave();
}
