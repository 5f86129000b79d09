// What the board says of itself: INFO, as JSON in a buffer of fixed size.
//
// Cores differ, so each is asked: a process of its own goes from one to the next, and reads its registers there. What only a vector or a
// matrix instruction tells is tried under a handler of SIGILL.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi.h"
#include "agent.h"
#include "runtime.h"

enum { MAX_CORES = 256, SYS_HWPROBE = 258 };

static char text[MESSAGE_BYTES];
static size_t size;

__attribute__((format(printf, 1, 2))) static void add(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int added = vsnprintf(text + size, sizeof text - size, format, arguments);
  va_end(arguments);
  if (added < 0 || (size_t)added >= sizeof text - size) fail("the board has more to say of itself than a frame holds");
  size += (size_t)added;
}

// A string of JSON; bytes that would have to be escaped are question marks.
static void add_string(const char *value) {
  add("\"");
  for (; *value; value++) add("%c", *value < ' ' || *value > '~' || *value == '"' || *value == '\\' ? '?' : *value);
  add("\"");
}

// The first line of a file, without its end; empty where there is none.
static const char *line_of(char line[256], const char *format, ...) {
  char path[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(path, sizeof path, format, arguments);
  va_end(arguments);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t count = file < 0 ? 0 : read(file, line, 255);
  if (file >= 0) close(file);
  line[count < 0 ? 0 : count] = 0;
  line[strcspn(line, "\n")] = 0;
  return line;
}

// The value of a row of a file such as /proc/meminfo.
static const char *row_of(char value[256], const char *path, const char *name) {
  char line[4096];
  FILE *file = fopen(path, "re");
  value[0] = 0;
  while (file && fgets(line, sizeof line, file)) {
    if (strncmp(line, name, strlen(name))) continue;
    const char *start = line + strcspn(line, ":") + 1;
    snprintf(value, 256, "%s", start + strspn(start, " \t"));
    value[strcspn(value, "\n")] = 0;
    break;
  }
  if (file) fclose(file);
  return value;
}

static uint64_t memory_row(const char *name) {
  char value[256];
  return strtoull(row_of(value, "/proc/meminfo", name), NULL, 10) * 1024;
}

uint64_t available_bytes(void) { return memory_row("MemAvailable"); }

uint32_t megahertz(void) {
  char line[256];
  unsigned core = 0;
  syscall(SYS_getcpu, &core, NULL, NULL);
  return (uint32_t)(strtoul(line_of(line, "/sys/devices/system/cpu/cpu%u/cpufreq/scaling_cur_freq", core), NULL, 10) / 1000);
}

// Cores

typedef struct Core {
  int32_t number, asked, ai;  // whether it was reached, and only by way of /proc/set_ai_thread
  uint32_t vlen, ime;
  uint64_t vendor, arch, implementation, extensions;
} Core;

#ifdef __riscv
static sigjmp_buf not_there;
static void on_illegal(int signal) { siglongjmp(not_there, 1); }

__attribute__((noinline)) static uint32_t read_vlen(void) {
  uint64_t bytes = 0;
  if (sigsetjmp(not_there, 1)) return 0;
  __asm__ volatile(".option push\n.option arch, +v\ncsrr %0, vlenb\n.option pop" : "=r"(bytes));
  return (uint32_t)bytes * 8;
}

// Whether `vmadot v2, v4, v5` is an instruction; vectors of bytes, all of a register.
__attribute__((noinline)) static uint32_t has_ime(void) {
  if (sigsetjmp(not_there, 1)) return 0;
  __asm__ volatile(".option push\n.option arch, +v\nvsetvli t0, zero, e8, m1, ta, ma\n.word 0xe252312b\n.option pop" ::: "t0", "memory");
  return 1;
}

static void ask(Core *core) {
  struct {
    int64_t key;
    uint64_t value;
  } pairs[] = {{0, 0}, {1, 0}, {2, 0}, {4, 0}};
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core->number, &set);
  if (!syscall(SYS_HWPROBE, pairs, 4, sizeof set, &set, 0)) {
    uint64_t *to[] = {&core->vendor, &core->arch, &core->implementation, &core->extensions};
    for (int i = 0; i < 4; i++) *to[i] = pairs[i].key < 0 ? 0 : pairs[i].value;
  }
  signal(SIGILL, on_illegal);
  core->vlen = read_vlen();
  core->ime = core->vlen ? has_ime() : 0;
}
#else
static void ask(Core *core) {}
#endif

static void ask_cores(const Core *known, int count, int ai, int out) {
  if (ai) {
    int file = open("/proc/set_ai_thread", O_WRONLY | O_CLOEXEC);
    if (file < 0 || dprintf(file, "%d", getpid()) < 0) return;
  }
  for (int i = 0; i < count; i++) {
    Core core = known[i];
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core.number, &set);
    if (core.asked || sched_setaffinity(0, sizeof set, &set)) continue;
    core.asked = 1, core.ai = ai;
    ask(&core);
    if (write(out, &core, sizeof core) != sizeof core) return;
  }
}

// Ask the cores that have not been, from a process of its own.
static void ask_from_child(Core *cores, int count, int ai) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC)) return;
  pid_t child = fork();
  if (!child) {
    ask_cores(cores, count, ai, ends[1]);
    _exit(0);
  }
  close(ends[1]);
  Core core;
  while (child > 0 && read(ends[0], &core, sizeof core) == sizeof core)
    for (int i = 0; i < count; i++)
      if (cores[i].number == core.number) cores[i] = core;
  close(ends[0]);
  if (child > 0) waitpid(child, NULL, 0);
}

static void add_cores(void) {
  static Core cores[MAX_CORES];
  int count = 0;
  long most = sysconf(_SC_NPROCESSORS_CONF);
  cpu_set_t usable;
  sched_getaffinity(0, sizeof usable, &usable);
  for (int i = 0; i < most && count < MAX_CORES; i++) {
    char line[256];
    int is_off = !strcmp(line_of(line, "/sys/devices/system/cpu/cpu%d/online", i), "0");
    if (!is_off) cores[count++].number = i;
  }
  ask_from_child(cores, count, 0);
  int has_ai = !access("/proc/set_ai_thread", W_OK);
  if (has_ai) ask_from_child(cores, count, 1);
  add(",\"cores\":[");
  for (int i = 0; i < count; i++) {
    const Core *core = &cores[i];
    char line[256];
    add("%s{\"core\":%d,\"asked\":%s,\"usable\":%s,\"ai\":%s", i ? "," : "", core->number, core->asked ? "true" : "false",
        core->asked && (core->ai || CPU_ISSET(core->number, &usable)) ? "true" : "false", core->ai ? "true" : "false");
    add(",\"vendor\":%llu,\"arch\":%llu", (unsigned long long)core->vendor, (unsigned long long)core->arch);
    add(",\"implementation\":%llu,\"extensions\":%llu", (unsigned long long)core->implementation, (unsigned long long)core->extensions);
    add(",\"vlen\":%u,\"ime\":%s", core->vlen, core->ime ? "true" : "false");
    add(",\"kilohertz\":%lu}", strtoul(line_of(line, "/sys/devices/system/cpu/cpu%d/cpufreq/cpuinfo_max_freq", core->number), NULL, 10));
  }
  add("]");
}

static void add_caches(void) {
  const char *separator = "";
  add(",\"caches\":[");
  for (int i = 0; i < 10; i++) {
    char level[256], type[256], bytes[256], shared[256];
    const char *const folder = "/sys/devices/system/cpu/cpu0/cache/index";
    if (!*line_of(level, "%s%d/level", folder, i)) break;
    uint64_t kibibytes = strtoull(line_of(bytes, "%s%d/size", folder, i), NULL, 10);
    add("%s{\"level\":%lu,\"bytes\":%llu,\"type\":", separator, strtoul(level, NULL, 10), (unsigned long long)kibibytes * 1024);
    add_string(line_of(type, "%s%d/type", folder, i));
    add(",\"cores\":");
    add_string(line_of(shared, "%s%d/shared_cpu_list", folder, i));
    add("}");
    separator = ",";
  }
  add("]");
}

static void add_area(const char *name, const Area *area) {
  add(",\"%s\":{\"start\":%llu,\"bytes\":%llu}", name, (unsigned long long)area->start, (unsigned long long)area->bytes);
}

const char *describe_board(uint64_t *bytes) {
  struct utsname system = {0};
  char value[256];
  uname(&system);
  size = 0;
  add("{\"protocol\":%d,\"abi\":%d,\"machine\":", WIRE_VERSION, ABI_VERSION);
#ifdef __riscv
  add_string("riscv64");
#else
  add_string("x86_64");
#endif
  add(",\"system\":");
  snprintf(value, sizeof value, "%.100s %.100s", system.sysname, system.release);
  add_string(value);
  add(",\"board\":");
  add_string(line_of(value, "/sys/firmware/devicetree/base/model"));
  add(",\"processor\":");
  add_string(row_of(value, "/proc/cpuinfo", "model name"));
  add_cores();
  add_caches();
  add(",\"memory_bytes\":%llu,\"available_bytes\":%llu", (unsigned long long)memory_row("MemTotal"), (unsigned long long)available_bytes());
  add_area("arena", &agent.arena);
  add_area("code", &agent.code);
  const char *problem = why_no_sandbox();
  add(",\"sandbox\":%s,\"no_sandbox\":", problem ? "false" : "true");
  add_string(problem ? problem : "");
  problem = why_no_counters();
  add(",\"counters\":%s,\"no_counters\":", problem ? "false" : "true");
  add_string(problem ? problem : "");
  add(",\"cache\":%s,\"externals\":{", agent.cache ? "true" : "false");
  for (const External *row = externals; row->name; row++) {
    if (row != externals) add(",");
    add_string(row->name);
    add(":%llu", (unsigned long long)(uintptr_t)row->address);
  }
  add("}}");
  *bytes = size;
  return text;
}
