// Frames of the agent: bytes come in order, and go out whole. What is read ahead stays in a buffer of fixed size.
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

static uint8_t buffer[1 << 16];
static size_t begin, end;  // of what has been read and not been taken
static int input, output;

void open_link(int input_descriptor, int output_descriptor) { input = input_descriptor, output = output_descriptor, begin = end = 0; }

__attribute__((noreturn)) void end_agent(int status) {
  end_worker();
  _exit(status);
}

static size_t read_some(void *into, size_t bytes) {
  ssize_t count;
  do count = read(input, into, bytes);
  while (count < 0 && errno == EINTR);
  if (count <= 0) end_agent(0);  // the host is gone
  return (size_t)count;
}

static void read_ahead(void) {
  if (begin) memmove(buffer, buffer + begin, end - begin);
  end -= begin, begin = 0;
  end += read_some(buffer + end, sizeof buffer - end);
}

void receive(void *into, uint64_t bytes) {
  uint8_t *next = into;
  while (bytes) {
    if (begin == end && bytes >= sizeof buffer) {
      size_t count = read_some(next, bytes < 1 << 20 ? bytes : 1 << 20);
      next += count, bytes -= count;
      continue;
    }
    if (begin == end) read_ahead();
    size_t count = end - begin < bytes ? end - begin : bytes;
    memcpy(next, buffer + begin, count);
    next += count, bytes -= count, begin += count;
  }
}

static void send_parts(struct iovec *parts, int count) {
  while (count) {
    ssize_t written = writev(output, parts, count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) end_agent(0);
    for (size_t left = (size_t)written; count && left >= parts->iov_len; parts++, count--) left -= parts->iov_len, written = (ssize_t)left;
    if (count) parts->iov_base = (uint8_t *)parts->iov_base + written, parts->iov_len -= (size_t)written;
  }
}

void send_frame(uint32_t type, uint32_t sequence, const struct iovec *parts, int count) {
  Header header = {.magic = MAGIC, .type = type, .sequence = sequence};
  struct iovec all[8] = {{&header, sizeof header}};
  for (int i = 0; i < count; i++) {
    all[1 + i] = parts[i];
    header.bytes += parts[i].iov_len;
  }
  send_parts(all, 1 + count);
}

void fail(const char *format, ...) {
  char text[500];
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  struct iovec part = {text, size < (int)sizeof text ? (size_t)size : sizeof text - 1};
  send_frame(FRAME_ERROR, 0, &part, 1);
  end_agent(1);
}

int link_to_watch(void) { return end - begin < sizeof buffer ? input : -1; }

// Whether one of the frames that have been read is a CANCEL. One that is longer than the buffer hides those behind it.
static int has_cancel(void) {
  for (size_t place = begin; end - place >= sizeof(Header);) {
    Header header;
    memcpy(&header, buffer + place, sizeof header);
    if (header.magic != MAGIC) return 0;
    if (header.type == FRAME_CANCEL) return 1;
    if (header.bytes > end - place - sizeof header) return 0;
    place += sizeof header + header.bytes;
  }
  return 0;
}

int link_is_ready(void) {
  read_ahead();
  return has_cancel();
}
