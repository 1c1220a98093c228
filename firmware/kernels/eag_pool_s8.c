#define EAG_ELEMENT int8_t
#define EAG_LOWEST (-128)
#define EAG_AVERAGE_POOL eag_average_pool_s8
#define EAG_MAX_POOL eag_max_pool_s8

#include "eag_pool_plain.h"
