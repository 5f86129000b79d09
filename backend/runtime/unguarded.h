// The runtime in a program that is not ours.
#pragma once
#include <stdint.h>

int32_t count_cores(void);  // that this process may use
