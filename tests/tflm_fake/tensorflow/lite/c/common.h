#ifndef FAKE_COMMON_H
#define FAKE_COMMON_H

#include <cstddef>
#include <cstdint>

typedef enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 } TfLiteStatus;

#define TF_LITE_ENSURE_STATUS(a)           \
  do {                                     \
    const TfLiteStatus s = (a);            \
    if (s != kTfLiteOk) return s;          \
  } while (0)

typedef union TfLitePtrUnion {
  int8_t *int8;
  void *data;
} TfLitePtrUnion;

typedef struct TfLiteTensor {
  TfLitePtrUnion data;
  size_t bytes;
} TfLiteTensor;

typedef struct TfLiteEvalTensor {
  TfLitePtrUnion data;
} TfLiteEvalTensor;

typedef struct TfLiteContext {
  TfLiteEvalTensor *(*GetEvalTensor)(const struct TfLiteContext *context, int tensor_idx);
} TfLiteContext;

struct TFLMRegistration {
  int kernel;
};

#endif
