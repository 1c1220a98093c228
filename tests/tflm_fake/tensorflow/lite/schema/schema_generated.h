#ifndef FAKE_SCHEMA_H
#define FAKE_SCHEMA_H

#include <cstdint>

namespace tflite {

class Model {
 public:
  uint32_t version() const { return 3; }
};

inline const Model *GetModel(const void *content) { return static_cast<const Model *>(content); }

}  // namespace tflite

#endif
