#define EAG_ELEMENT int16_t
#define EAG_LOWEST (-32768)
#define EAG_AVERAGE_POOL eag_average_pool_s16
#define EAG_MAX_POOL eag_max_pool_s16

#include "eag_pool_plain.h"
