/* See README.md. The test gives, as macros:
 *   FAKE_OPS      ops of the model, each of which adds one to every byte
 *   FAKE_BYTES    bytes of each tensor: the input, and what each op writes
 *   FAKE_NEEDED   bytes of arena without which AllocateTensors fails
 * and perhaps FAKE_CMSIS_NN, FAKE_STUBBORN (a lack of memory is said, but not heeded), FAKE_SILENT
 * (the profiler is told of nothing), FAKE_OTHER_BUFFERS (a last buffer that no plan has),
 * TF_LITE_STRIP_ERROR_STRINGS.
 *
 * The first byte of an input may ask for trouble in the second op: 0xE1 fails, 0xE2 fails a check,
 * 0xE3 calls abort().
 */
#include <cstdarg>
#include <cstdlib>
#include <cstring>

#include "tensorflow/lite/micro/debug_log.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_log.h"

#ifdef FAKE_CMSIS_NN
extern "C" void arm_convolve_s8() {}
#endif

#ifndef TF_LITE_STRIP_ERROR_STRINGS
void MicroPrintf(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  DebugLog(format, arguments);
  va_end(arguments);
}
#endif

namespace tflite {
namespace {

/* As TFLM's checks end where its log is a microcontroller's. */
void Halt() {
  MicroPrintf("HALTED");
  for (;;) {
  }
}

TfLiteEvalTensor tensors[1 + FAKE_OPS];

TfLiteEvalTensor *EvalTensor(const TfLiteContext *, int index) { return &tensors[index]; }

}  // namespace

MicroAllocator *MicroAllocator::Create(uint8_t *tensor_arena, size_t arena_size,
                                       MicroMemoryPlanner *memory_planner) {
  static MicroAllocator allocator;
  allocator = {tensor_arena, arena_size, memory_planner};
  return &allocator;
}

namespace {

/* One buffer after the other. */
class InOrder : public MicroMemoryPlanner {
 public:
  TfLiteStatus AddBuffer(int size, int, int) override {
    size_ = size;
    count_++;
    return kTfLiteOk;
  }
  size_t GetMaximumMemorySize() override { return static_cast<size_t>(count_ * size_); }
  int GetBufferCount() override { return count_; }
  TfLiteStatus GetOffsetForBuffer(int index, int *offset) override {
    *offset = index * size_;
    return kTfLiteOk;
  }
  bool preserves_all_tensors() const override { return false; }

 private:
  int count_ = 0, size_ = 0;
};

}  // namespace

MicroAllocator *MicroAllocator::Create(uint8_t *tensor_arena, size_t arena_size) {
  static InOrder planner;
  return Create(tensor_arena, arena_size, &planner);
}

MicroInterpreter::MicroInterpreter(const Model *, const MicroOpResolver &op_resolver,
                                   MicroAllocator *allocator, MicroResourceVariables *,
                                   MicroProfilerInterface *profiler)
    : context_{EvalTensor},
      resolver_(op_resolver),
      allocator_(*allocator),
      profiler_(profiler),
      input_(),
      output_() {}

TfLiteStatus MicroInterpreter::AllocateTensors() {
  if (resolver_.Ops() == 0) return kTfLiteError;
  const size_t size = allocator_.size;
  if (size < FAKE_NEEDED) {
    MicroPrintf("Failed to allocate tail memory. Requested: %u, available %u, missing: %u",
                static_cast<unsigned>(FAKE_NEEDED), static_cast<unsigned>(size),
                static_cast<unsigned>(FAKE_NEEDED - size));
#ifdef FAKE_STUBBORN
    Halt();
#endif
    return kTfLiteError;
  }
  MicroMemoryPlanner &planner = *allocator_.planner;
  for (int i = 0; i <= FAKE_OPS; i++) {
    const int last = i < FAKE_OPS ? i + 1 : i;
    if (planner.AddBuffer(FAKE_BYTES, i, last) != kTfLiteOk) return kTfLiteError;
  }
#ifdef FAKE_OTHER_BUFFERS
  if (planner.AddBuffer(16, 1, 1) != kTfLiteOk) return kTfLiteError;
#endif
  memset(allocator_.arena, 0, size);
  for (int i = 0; i <= FAKE_OPS; i++) {
    int offset;
    if (planner.GetOffsetForBuffer(i, &offset) != kTfLiteOk) return kTfLiteError;
    if (offset + FAKE_BYTES > static_cast<int>(planner.GetMaximumMemorySize())) return kTfLiteError;
    tensors[i].data.data = allocator_.arena + offset;
  }
  input_.data = tensors[0].data;
  output_.data = tensors[FAKE_OPS].data;
  input_.bytes = output_.bytes = FAKE_BYTES;
  return kTfLiteOk;
}

TfLiteStatus MicroInterpreter::Invoke() {
  const uint8_t trouble = static_cast<const uint8_t *>(tensors[0].data.data)[0];
  for (int op = 0; op < FAKE_OPS; op++) {
#if !defined(TF_LITE_STRIP_ERROR_STRINGS) && !defined(FAKE_SILENT)
    const uint32_t event = profiler_ ? profiler_->BeginEvent("FAKE") : 0;
    /* As an op with a subgraph of its own has. */
    if (profiler_) profiler_->EndEvent(profiler_->BeginEvent("INSIDE"));
#endif
    if (op == 1 && trouble == 0xE1) {
      MicroPrintf("Node %s (number %d) failed to invoke with status %d", "FAKE", op, 1);
      return kTfLiteError;
    }
    if (op == 1 && trouble == 0xE2) Halt();
    if (op == 1 && trouble == 0xE3) abort();
    const uint8_t *from = static_cast<const uint8_t *>(tensors[op].data.data);
    uint8_t *to = static_cast<uint8_t *>(tensors[op + 1].data.data);
    for (int i = 0; i < FAKE_BYTES; i++) to[i] = static_cast<uint8_t>(from[i] + 1);
#if !defined(TF_LITE_STRIP_ERROR_STRINGS) && !defined(FAKE_SILENT)
    if (profiler_) profiler_->EndEvent(event);
#endif
  }
  return kTfLiteOk;
}

TfLiteTensor *MicroInterpreter::input(size_t index) { return index ? nullptr : &input_; }
TfLiteTensor *MicroInterpreter::output(size_t index) { return index ? nullptr : &output_; }
size_t MicroInterpreter::arena_used_bytes() const { return FAKE_NEEDED; }

}  // namespace tflite
