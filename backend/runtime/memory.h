// What the machine has left.
#pragma once
#include <stdint.h>

// Whether so much memory can be used. The system promises more than it has: who then touches it is killed.
int has_memory(uint64_t bytes);
// What is looked at for that stays open, for a process that can open nothing later.
void keep_memory_file(void);
