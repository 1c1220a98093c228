#ifndef FAKE_INTERPRETER_H
#define FAKE_INTERPRETER_H

#include <cstddef>
#include <cstdint>

#include "tensorflow/lite/c/common.h"
#include "tensorflow/lite/micro/micro_allocator.h"
#include "tensorflow/lite/micro/micro_op_resolver.h"
#include "tensorflow/lite/micro/micro_profiler_interface.h"
#include "tensorflow/lite/schema/schema_generated.h"

#define TFLITE_SCHEMA_VERSION (3)

namespace tflite {

class MicroResourceVariables;

class MicroInterpreter {
 public:
  MicroInterpreter(const Model *model, const MicroOpResolver &op_resolver,
                   MicroAllocator *allocator, MicroResourceVariables *resource_variables = nullptr,
                   MicroProfilerInterface *profiler = nullptr);

  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  TfLiteTensor *input(size_t index);
  TfLiteTensor *output(size_t index);
  size_t arena_used_bytes() const;

 protected:
  const TfLiteContext &context() const { return context_; }

 private:
  TfLiteContext context_;
  const MicroOpResolver &resolver_;
  MicroAllocator &allocator_;
  MicroProfilerInterface *profiler_;
  TfLiteTensor input_, output_;
};

}  // namespace tflite

#endif
