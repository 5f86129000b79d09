// Memory that is there, besides what the system promises.
#include "memory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SMALL = 64 << 20 };  // not worth a look

static int kept = -1;

static int open_file(void) { return open("/proc/meminfo", O_RDONLY | O_CLOEXEC); }

void keep_memory_file(void) { kept = open_file(); }

// Of the machine; UINT64_MAX where it does not say. Limits of control groups are not looked for.
static uint64_t available(void) {
  char text[4096];
  int file = kept >= 0 ? kept : open_file();
  ssize_t size = pread(file, text, sizeof text - 1, 0);
  if (file >= 0 && file != kept) close(file);
  text[size < 0 ? 0 : size] = 0;
  const char *row = strstr(text, "MemAvailable:"), *swap = strstr(text, "SwapFree:");
  if (!row) return UINT64_MAX;
  return (strtoull(row + 13, NULL, 10) + (swap ? strtoull(swap + 9, NULL, 10) : 0)) * 1024;
}

int has_memory(uint64_t bytes) { return bytes < SMALL || bytes <= available(); }
