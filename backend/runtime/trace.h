// What the host puts in front of a kernel's accesses where cycles are estimated (backend/estimate/): the caches, simulated.
#pragma once
#include "tracing.h"

// t0: an AccessSite. Registers and vector state stay as they are.
void trace_access(void);
