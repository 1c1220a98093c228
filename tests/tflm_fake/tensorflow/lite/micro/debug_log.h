#ifndef FAKE_DEBUG_LOG_H
#define FAKE_DEBUG_LOG_H

#include <cstdarg>

extern "C" void DebugLog(const char *format, va_list args);

#endif
