/* The four functions of <string.h> that exist on the board, which has no C library. */
#ifndef EAG_LIBC_H
#define EAG_LIBC_H

#if __STDC_HOSTED__
#include <string.h>
#else
#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
int memcmp(const void *left, const void *right, size_t count);
#endif

#endif
