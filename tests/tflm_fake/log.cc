/* The log that the library brings for whoever has none. */
#include "tensorflow/lite/micro/debug_log.h"

extern "C" void DebugLog(const char *, va_list) {}
