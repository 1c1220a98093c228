/* What TFLM and the C library want of whoever links them: a log, and an end for what cannot go on.
 * There is no heap and no standard output: a firmware that asked for them does not link. A framework
 * brings all of that itself; this file is empty then.
 */
#ifdef EAG_SECTIONS

#include <stddef.h>

#include "eag_text.h"
#include "eag_tflm.h"

#define LINE 128

/* The text behind the first `what`, NULL where there is none. */
static const char *after(const char *text, const char *what) {
  for (; *text; text++) {
    const char *t = text, *w = what;
    while (*w && *t == *w) t++, w++;
    if (!*w) return t;
  }
  return NULL;
}

/* TFLM's log (tensorflow/lite/micro/debug_log.h). Ours is linked before the library's own. */
void DebugLog(const char *format, va_list arguments);
void DebugLog(const char *format, va_list arguments) {
  char line[LINE];
  eag_text_format(line, sizeof line, format, arguments);
  /* How the allocator's messages about a lack of memory end; and what its planner says when there
   * is none left for notes about buffers. */
  const char *missing = after(line, "missing: ");
  if (!missing) missing = after(line, "Too many buffers");
  if (missing) {
    uint32_t bytes = 0;
    while (*missing >= '0' && *missing <= '9') bytes = 10 * bytes + (uint32_t)(*missing++ - '0');
    eag_tflm_missing(bytes);
  }
  /* What a failed check says before it loops for ever. */
  if (after(line, "HALTED")) {
    eag_tflm_said("a check inside TFLM failed");
    eag_tflm_halt();
  }
  eag_tflm_said(line);
}

int DebugVsnprintf(char *out, size_t size, const char *format, va_list arguments);
int DebugVsnprintf(char *out, size_t size, const char *format, va_list arguments) {
  return eag_text_format(out, (uint32_t)size, format, arguments);
}

void abort(void) __attribute__((noreturn));
void abort(void) {
  eag_tflm_said("abort() was called");
  eag_tflm_halt();
  __builtin_trap(); /* outside of what can be left: a fault, which reports itself */
}

/* newlib's assert(): its own would bring the whole of stdio. */
void __assert_func(const char *file, int line, const char *function, const char *expression)
    __attribute__((noreturn));
void __assert_func(const char *file, int line, const char *function, const char *expression) {
  (void)file, (void)line, (void)function;
  eag_tflm_said(expression);
  abort();
}

/* newlib's own lies in a kilobyte of state, most of it for stdio. Mathematics sets it; nobody asks. */
int *__errno(void);
int *__errno(void) {
  static int number;
  return &number;
}

/* A virtual function that nobody defined; and what compilers want in order to destroy objects that
 * live for ever. */
void __cxa_pure_virtual(void);
void __cxa_pure_virtual(void) { abort(); }
int __aeabi_atexit(void *object, void (*destroy)(void *), void *handle);
int __aeabi_atexit(void *object, void (*destroy)(void *), void *handle) {
  (void)object, (void)destroy, (void)handle;
  return 0;
}
void *__dso_handle;

#endif
