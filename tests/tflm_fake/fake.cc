/* See README.md. The test gives, as macros:
 *   FAKE_OPS      ops of the model, each of which adds one to every byte
 *   FAKE_BYTES    bytes of each tensor: the input, and what each op writes
 *   FAKE_NEEDED   bytes of arena without which AllocateTensors fails
 * and perhaps FAKE_CMSIS_NN, FAKE_STUBBORN (a lack of memory is said, but not heeded), FAKE_SILENT
 * (the profiler is told of nothing), TF_LITE_STRIP_ERROR_STRINGS.
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

MicroInterpreter::MicroInterpreter(const Model *, const MicroOpResolver &op_resolver,
                                   uint8_t *tensor_arena, size_t tensor_arena_size,
                                   MicroResourceVariables *, MicroProfilerInterface *profiler, bool)
    : context_{EvalTensor},
      resolver_(op_resolver),
      arena_(tensor_arena),
      size_(tensor_arena_size),
      profiler_(profiler),
      input_(),
      output_() {}

TfLiteStatus MicroInterpreter::AllocateTensors() {
  if (resolver_.Ops() == 0) return kTfLiteError;
  if (size_ < FAKE_NEEDED) {
    MicroPrintf("Failed to allocate tail memory. Requested: %u, available %u, missing: %u",
                static_cast<unsigned>(FAKE_NEEDED), static_cast<unsigned>(size_),
                static_cast<unsigned>(FAKE_NEEDED - size_));
#ifdef FAKE_STUBBORN
    Halt();
#endif
    return kTfLiteError;
  }
  /* Two buffers in turn, so that an inference overwrites its input. */
  for (int i = 0; i <= FAKE_OPS; i++) tensors[i].data.data = arena_ + (i % 2) * FAKE_BYTES;
  input_.data = tensors[0].data;
  output_.data = tensors[FAKE_OPS].data;
  input_.bytes = output_.bytes = FAKE_BYTES;
  memset(arena_, 0, size_);
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
