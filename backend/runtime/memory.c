// Memory that is there, besides what the system promises.
#include "memory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SMALL = 64 << 20 };  // not worth a look

// Text of a small file; empty where there is none.
static void read_file(const char *path, char *text, size_t room) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t size = file < 0 ? 0 : read(file, text, room - 1);
  if (file >= 0) close(file);
  text[size < 0 ? 0 : size] = 0;
}

// Of the machine. Limits of control groups are not looked for.
static uint64_t available(void) {
  char text[4096];
  read_file("/proc/meminfo", text, sizeof text);
  const char *row = strstr(text, "MemAvailable:"), *swap = strstr(text, "SwapFree:");
  if (!row) return UINT64_MAX;
  return (strtoull(row + 13, NULL, 10) + (swap ? strtoull(swap + 9, NULL, 10) : 0)) * 1024;
}

int has_memory(uint64_t bytes) { return bytes < SMALL || bytes <= available(); }
