/* One function that can be left in its middle and entered there again: an interpreter's whole
 * inference, cut into the steps that the runtime runs one by one.
 *
 * It runs on the lower part of the one stack, above the port's guard; the caller keeps the upper
 * EAG_COROUTINE_ABOVE bytes, with a guard of its own below them. There is one coroutine. It may be
 * abandoned anywhere: to begin anew simply forgets where it was.
 *
 * Where a framework lays out the stack (no EAG_SECTIONS) the function just runs to its end.
 */
#ifndef EAG_COROUTINE_H
#define EAG_COROUTINE_H

#include <stdbool.h>

/* What the server needs while the function is left in its middle, interrupts included: twice what
 * it was seen to use. */
#ifndef EAG_COROUTINE_ABOVE
#define EAG_COROUTINE_ABOVE 1024
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The next `enter` starts `function` from its beginning. */
void eag_coroutine_begin(void (*function)(void));

/* Runs until the function leaves (true) or returns (false); false at once when it has returned, and
 * when the caller has used more of the stack than it keeps. */
bool eag_coroutine_enter(void);

/* Whether it has: what the function left behind may be overwritten. Until the next begin. */
bool eag_coroutine_overrun(void);

/* From inside: back to whoever entered. Goes on at once where the function cannot be left. */
void eag_coroutine_leave(void);

/* Whether the caller of this runs inside. */
bool eag_coroutine_inside(void);

#ifdef __cplusplus
}
#endif

#endif
