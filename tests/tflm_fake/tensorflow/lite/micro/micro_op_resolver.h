#ifndef FAKE_OP_RESOLVER_H
#define FAKE_OP_RESOLVER_H

#include "tensorflow/lite/c/common.h"

namespace tflite {

class MicroOpResolver {
 public:
  virtual ~MicroOpResolver() {}
  virtual unsigned Ops() const = 0;
};

}  // namespace tflite

#endif
