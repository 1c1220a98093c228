/* What generated Swift may use of the module TensorFlowLiteCMetal, after the documentation of
 * tensorflow/lite/delegates/gpu/metal_delegate.h (version 2.17); for tests only. */
#ifndef EDGE_AUTOGLM_STUB_TENSORFLOWLITECMETAL_H
#define EDGE_AUTOGLM_STUB_TENSORFLOWLITECMETAL_H

#include <stdbool.h>

struct TfLiteDelegate;

typedef enum {
  TFLGpuDelegateWaitTypePassive,
  TFLGpuDelegateWaitTypeActive,
  TFLGpuDelegateWaitTypeDoNotWait,
  TFLGpuDelegateWaitTypeAggressive,
} TFLGpuDelegateWaitType;

typedef struct {
  bool allow_precision_loss;
  TFLGpuDelegateWaitType wait_type;
  bool enable_quantization;
} TFLGpuDelegateOptions;

struct TfLiteDelegate* TFLGpuDelegateCreate(const TFLGpuDelegateOptions* options);
void TFLGpuDelegateDelete(struct TfLiteDelegate* delegate);

#endif
