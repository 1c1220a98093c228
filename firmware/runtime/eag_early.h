/* Code and constants that lie first in flash, before everything else of the image: what runs until
 * the image is known to be whole. It may call and read nothing outside of itself but registers,
 * memory that nobody has to set up, and the image's own description; the build checks that.
 */
#ifndef EAG_EARLY_H
#define EAG_EARLY_H

#ifdef EAG_SECTIONS
#define EAG_EARLY __attribute__((section(".eag_early")))
#define EAG_EARLY_DATA __attribute__((section(".eag_early_data")))
#else
#define EAG_EARLY
#define EAG_EARLY_DATA
#endif

#endif
