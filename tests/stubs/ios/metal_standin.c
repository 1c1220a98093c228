/* A Metal delegate for machines without Metal: it takes no operator and says what the environment
 * tells it to, through the same callback as the real one. Built against TensorFlow Lite's headers. */
#include <stdlib.h>

#include "tensorflow/lite/c/common.h"

#include "TensorFlowLiteCMetal/TensorFlowLiteCMetal.h"

static TfLiteStatus prepare(TfLiteContext* context, TfLiteDelegate* delegate) {
  (void)delegate;
  const char* words = getenv("METAL_SAYS");
  if (words) context->ReportError(context, "%s", words);
  return getenv("METAL_FAILS") ? kTfLiteError : kTfLiteOk;
}

TfLiteDelegate* TFLGpuDelegateCreate(const TFLGpuDelegateOptions* options) {
  const char* wanted = getenv("METAL_EXPECTS_WAIT");
  if (wanted && atoi(wanted) != (int)options->wait_type) return NULL;
  if (getenv("METAL_MISSING")) return NULL;
  TfLiteDelegate* delegate = calloc(1, sizeof *delegate);
  delegate->Prepare = prepare;
  return delegate;
}

void TFLGpuDelegateDelete(TfLiteDelegate* delegate) { free(delegate); }
