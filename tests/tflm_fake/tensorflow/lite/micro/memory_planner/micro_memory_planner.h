#ifndef FAKE_MEMORY_PLANNER_H
#define FAKE_MEMORY_PLANNER_H

#include <cstddef>

#include "tensorflow/lite/c/common.h"

namespace tflite {

class MicroMemoryPlanner {
 public:
  virtual ~MicroMemoryPlanner() {}
  virtual TfLiteStatus AddBuffer(int size, int first_time_used, int last_time_used) = 0;
  virtual TfLiteStatus AddBuffer(int size, int first_time_used, int last_time_used,
                                 int offline_offset) {
    return offline_offset < 0 ? AddBuffer(size, first_time_used, last_time_used) : kTfLiteError;
  }
  virtual size_t GetMaximumMemorySize() = 0;
  virtual int GetBufferCount() = 0;
  virtual TfLiteStatus GetOffsetForBuffer(int buffer_index, int *offset) = 0;
  virtual bool preserves_all_tensors() const = 0;
};

}  // namespace tflite

#endif
