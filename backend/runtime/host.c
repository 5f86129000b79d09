// The runtime as a shared library of the process that launches.
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "runtime.h"

void write_output(const char *text, size_t size) {
  while (size) {
    ssize_t written = write(STDOUT_FILENO, text, size);
    if (written < 0 && errno != EINTR) return;
    if (written > 0) text += written, size -= (size_t)written;
  }
}

int output_is_ready(void) {
  enum { MILLISECONDS = 50 };
  struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};
  return poll(&output, 1, MILLISECONDS) != 0;
}
