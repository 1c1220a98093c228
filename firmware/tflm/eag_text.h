/* Text into a buffer of a known size, cut where it is full, always terminated: what is needed of
 * printf without the C library's, which would bring 20 KB and a heap. */
#ifndef EAG_TEXT_H
#define EAG_TEXT_H

#include <stdarg.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Both write at `at`, before `end`, and give the place of the terminating zero. */
char *eag_text_add(char *at, char *end, const char *text);
char *eag_text_add_number(char *at, char *end, uint32_t number);

/* printf's %d %i %u %x %c %s %p %%, with any width, flags and length but the 64-bit ones, which are
 * skipped over; of a float only "?" is written. Gives the text's length. */
int eag_text_format(char *out, uint32_t size, const char *format, va_list arguments);

#ifdef __cplusplus
}
#endif

#endif
