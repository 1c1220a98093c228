#ifndef FAKE_MICRO_LOG_H
#define FAKE_MICRO_LOG_H

#ifndef TF_LITE_STRIP_ERROR_STRINGS
void MicroPrintf(const char *format, ...);
#else
#define MicroPrintf(...) (void)0
#endif

#endif
