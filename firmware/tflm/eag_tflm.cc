#include "eag_tflm.h"

#include <cstddef>
#include <cstdint>
#include <new>

#include "eag_coroutine.h"
#include "eag_text.h"
#include "tensorflow/lite/c/common.h"
#include "tensorflow/lite/micro/memory_planner/micro_memory_planner.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_profiler_interface.h"
#include "tensorflow/lite/schema/schema_generated.h"

extern "C" {
#include "eag_profiler.h"
}

namespace {

const eag_tflm_program_t &program = eag_tflm_program;

uint8_t state;    /* EAG_ENGINE_... */
char words[96];   /* what is wrong, or the library's first words since the last beginning */
uint32_t missing; /* bytes of arena */
bool preparing;
bool finished; /* the library came to the end of what it was asked to do */

/* Only the context tells where the result of an op lies. */
class Interpreter : public tflite::MicroInterpreter {
 public:
  using MicroInterpreter::MicroInterpreter;
  void *Data(uint16_t tensor) {
    const TfLiteContext &with = context();
    return with.GetEvalTensor(&with, tensor)->data.data;
  }
};

/* The plan that was made when the model was exported. Nothing is planned here, so that the arena
 * needs no room for notes about it; a library that wants other buffers is found out. */
class Plan : public tflite::MicroMemoryPlanner {
 public:
  TfLiteStatus AddBuffer(int size, int first, int last) override {
    if (count_ < program.buffer_count) {
      const eag_tflm_buffer &planned = program.buffers[count_];
      if (size == static_cast<int>(planned.size) && first == planned.first && last == planned.last) {
        count_++;
        return kTfLiteOk;
      }
    }
    eag_tflm_said("TFLM wants other buffers than were planned at the export");
    return kTfLiteError;
  }
  TfLiteStatus AddBuffer(int size, int first, int last, int) override {
    return AddBuffer(size, first, last);
  }
  size_t GetMaximumMemorySize() override {
    uint32_t most = 0;
    for (int i = 0; i < count_; i++) {
      const uint32_t end = program.buffers[i].offset + program.buffers[i].size;
      if (most < end) most = end;
    }
    return most;
  }
  int GetBufferCount() override { return count_; }
  TfLiteStatus GetOffsetForBuffer(int index, int *offset) override {
    if (index < 0 || index >= count_) return kTfLiteError;
    *offset = static_cast<int>(program.buffers[index].offset);
    return kTfLiteOk;
  }
  bool preserves_all_tensors() const override { return false; }

 private:
  int count_ = 0;
};

alignas(Interpreter) uint8_t interpreter_place[sizeof(Interpreter)];
alignas(Plan) uint8_t plan_place[sizeof(Plan)];
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
    if (op_ >= program.step_count) {
      op_++; /* more than were exported: Complete() tells */
      return;
    }
    if (program.results && !program.results[op_].data)
      program.results[op_].data = interpreter->Data(program.result_tensors[op_]);
    if (++op_ < program.step_count) eag_coroutine_leave();
  }
  void Restart() { depth_ = op_ = 0; }
  /* A step that was not told of would have run in no time. */
  bool Complete() const { return !EAG_TFLM_BY_OP || op_ == program.step_count; }

 private:
  uint32_t depth_ = 0, op_ = 0;
};

alignas(Steps) uint8_t steps_place[sizeof(Steps)];
Steps *steps;

/* NULL: the library has said what it is. */
void Fail(const char *why) {
  state = EAG_ENGINE_FAILED;
  if (why || !words[0])
    eag_text_add(words, words + sizeof words, why ? why : "TFLM failed without a word");
}

/* Where inputs and outputs lie, now that it is known. */
bool Connect(eag_tensor *tensors, uint8_t count, TfLiteTensor *(*of)(size_t)) {
  for (uint8_t i = 0; i < count; i++) {
    TfLiteTensor *tensor = of(i);
    if (!tensor || tensor->bytes != tensors[i].size) return false;
    tensors[i].data = tensor->data.data;
  }
  return true;
}

TfLiteTensor *Input(size_t index) { return interpreter->input(index); }
TfLiteTensor *Output(size_t index) { return interpreter->output(index); }

void Prepare() {
  const tflite::Model *model = tflite::GetModel(program.model);
  if (model->version() != TFLITE_SCHEMA_VERSION)
    return Fail("the model's schema is of another version");
  const tflite::MicroOpResolver *resolver = program.resolver();
  if (!resolver) return Fail("an op could not be added to the resolver");
  steps = new (steps_place) Steps;
  interpreter = new (interpreter_place)
      Interpreter(model, *resolver, program.allocator(), nullptr, steps);
  if (interpreter->AllocateTensors() != kTfLiteOk) return Fail(nullptr);
  if (!Connect(program.inputs, program.input_count, Input) ||
      !Connect(program.outputs, program.output_count, Output))
    return Fail("inputs or outputs have another size than was exported");
  finished = true;
}

void Infer() {
  steps->Restart();
  if (interpreter->Invoke() != kTfLiteOk) return Fail(nullptr);
  if (!steps->Complete()) return Fail("TFLM's profiler told of other ops than the model has");
  finished = true;
}

/* The words for what the allocator could not do. */
void FailArena() {
  uint32_t needed = program.arena_needed;
  const uint32_t least = program.arena_bytes + missing;
  char *at = words;
  char *const end = words + sizeof words;
  at = eag_text_add(at, end, "the arena of ");
  at = eag_text_add_number(at, end, program.arena_bytes);
  at = eag_text_add(at, end, " B is too small, ");
  at = eag_text_add_number(at, end, needed < least ? least : needed);
  eag_text_add(at, end, needed < least ? " B needed at least" : " B needed");
  state = EAG_ENGINE_ARENA_TOO_SMALL;
}

}  // namespace

#ifdef EAG_SECTIONS
/* What is made here lives for ever; destructors still name these. */
void operator delete(void *) noexcept {}
void operator delete(void *, std::size_t) noexcept {}
#endif

tflite::MicroAllocator *eag_tflm_planned(void) {
  return tflite::MicroAllocator::Create(program.arena, program.arena_bytes,
                                        new (plan_place) Plan);
}

tflite::MicroAllocator *eag_tflm_plain(void) {
  return tflite::MicroAllocator::Create(program.arena, program.arena_bytes);
}

void eag_tflm_start(void) {
  /* Not left to the library: it may compute what is free as less than nothing and go on, and one
   * without its strings says no word. */
  if (program.arena_bytes < program.arena_needed) return FailArena();
  preparing = true;
  eag_coroutine_begin(Prepare);
  eag_coroutine_enter();
  preparing = false;
  if (missing)
    FailArena();
  else if (!finished && state == EAG_ENGINE_READY)
    Fail(nullptr);
}

uint8_t eag_tflm_state(const char **why) {
  *why = words;
  return state;
}

uint32_t eag_tflm_arena_used(void) {
  return state == EAG_ENGINE_READY ? interpreter->arena_used_bytes() : 0;
}

void eag_tflm_step(void) {
  if (state != EAG_ENGINE_READY) return;
  if (eag_running.step == 0) {
    finished = false;
    words[0] = 0;
    eag_coroutine_begin(Infer);
  }
  eag_coroutine_enter();
  if (eag_coroutine_overrun()) Fail("the runtime used more stack than EAG_COROUTINE_ABOVE");
}

void eag_tflm_said(const char *line) {
  /* The first words are the reason; what follows are consequences. */
  if (!words[0]) eag_text_add(words, words + sizeof words, line);
}

void eag_tflm_missing(uint32_t bytes) {
  if (!preparing) return;
  missing = bytes ? bytes : 1;
  eag_tflm_halt();
}

void eag_tflm_halt(void) {
  if (state == EAG_ENGINE_READY) state = EAG_ENGINE_FAILED;
  /* Nobody enters again: the state forbids it. */
  if (eag_coroutine_inside()) eag_coroutine_leave();
}
