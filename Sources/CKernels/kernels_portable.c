// Vectors of four floats: what every 64-bit processor has.
#define W 4
#define ROWS 6
#define COLUMNS 2
#define NAME hk_kernels_portable
#include "kernels.h"
