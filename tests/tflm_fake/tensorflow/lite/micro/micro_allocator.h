#ifndef FAKE_ALLOCATOR_H
#define FAKE_ALLOCATOR_H

#include <cstddef>
#include <cstdint>

#include "tensorflow/lite/micro/memory_planner/micro_memory_planner.h"

namespace tflite {

class MicroAllocator {
 public:
  static MicroAllocator* Create(uint8_t* tensor_arena, size_t arena_size,
                                MicroMemoryPlanner* memory_planner);
  static MicroAllocator *Create(uint8_t *tensor_arena, size_t arena_size);

  uint8_t *arena;
  size_t size;
  MicroMemoryPlanner *planner;
};

}  // namespace tflite

#endif
