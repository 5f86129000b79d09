// What host and agent say to each other, written by `make docs` from backend/wire.py.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define CODE_START 0x1000000000
#define ARENA_START 0x2000000000
#define MAGIC 0x4d435053u
enum { WIRE_VERSION = 1, DIGEST_BYTES = 32, CORE_WORDS = 16, MESSAGE_BYTES = 1048576, MAX_REPEATS = 65536, MAX_RANGES = 65536 };
enum { FRAME_HELLO = 1, FRAME_WORKER = 2, FRAME_ALLOCATE = 3, FRAME_WRITE = 4, FRAME_FILL = 5, FRAME_FREE = 6, FRAME_READ = 7, FRAME_CODE = 8, FRAME_LAUNCH = 9, FRAME_BLOB = 10, FRAME_CANCEL = 11, FRAME_PING = 12, FRAME_INFO = 32, FRAME_DATA = 33, FRAME_PRINT = 34, FRAME_DONE = 35, FRAME_FAULT = 36, FRAME_HIT = 37, FRAME_MISS = 38, FRAME_PONG = 39, FRAME_ERROR = 40 };
enum { ENDED_SIGNAL = 1, ENDED_TIMED_OUT = 2, ENDED_CANCELLED = 3, ENDED_DIED = 4, ENDED_TAKEN = 5 };

// In front of each frame.
typedef struct Header {
  uint32_t magic;
  uint32_t type;
  // Of the frame, or of the one that it answers.
  uint32_t sequence;
  // 0.
  uint32_t reserved;
  // Behind the header.
  uint64_t bytes;
} Header;
_Static_assert(offsetof(Header, magic) == 0, "Header.magic");
_Static_assert(offsetof(Header, type) == 4, "Header.type");
_Static_assert(offsetof(Header, sequence) == 8, "Header.sequence");
_Static_assert(offsetof(Header, reserved) == 12, "Header.reserved");
_Static_assert(offsetof(Header, bytes) == 16, "Header.bytes");
_Static_assert(sizeof(Header) == 24, "Header");

// Of HELLO.
typedef struct Hello {
  uint32_t version;
  uint32_t reserved;
} Hello;
_Static_assert(offsetof(Hello, version) == 0, "Hello.version");
_Static_assert(offsetof(Hello, reserved) == 4, "Hello.reserved");
_Static_assert(sizeof(Hello) == 8, "Hello");

// Of WORKER.
typedef struct WorkerKind {
  // Whether it runs on the cores that /proc/set_ai_thread leads to.
  uint32_t ai_cores;
  // The generation of matrix instructions that it emulates; 0 for none.
  uint32_t ime;
  // A bit for each that it runs on; none: wherever the system likes.
  uint64_t cores[16];
} WorkerKind;
_Static_assert(offsetof(WorkerKind, ai_cores) == 0, "WorkerKind.ai_cores");
_Static_assert(offsetof(WorkerKind, ime) == 4, "WorkerKind.ime");
_Static_assert(offsetof(WorkerKind, cores) == 8, "WorkerKind.cores");
_Static_assert(sizeof(WorkerKind) == 136, "WorkerKind");

// Of ALLOCATE, WRITE, FREE, READ and DATA.
typedef struct Span {
  uint64_t start;
  uint64_t bytes;
} Span;
_Static_assert(offsetof(Span, start) == 0, "Span.start");
_Static_assert(offsetof(Span, bytes) == 8, "Span.bytes");
_Static_assert(sizeof(Span) == 16, "Span");

// Of FILL.
typedef struct Filling {
  uint64_t start;
  uint64_t bytes;
  // Of each byte.
  uint64_t value;
} Filling;
_Static_assert(offsetof(Filling, start) == 0, "Filling.start");
_Static_assert(offsetof(Filling, bytes) == 8, "Filling.bytes");
_Static_assert(offsetof(Filling, value) == 16, "Filling.value");
_Static_assert(sizeof(Filling) == 24, "Filling");

// Of CODE. The parts end at multiples of the page: code, then read-only data, then writable data, then code again.
typedef struct Image {
  uint64_t start;
  uint64_t bytes;
  // An offset from the start, as the next two.
  uint64_t code_end;
  uint64_t readonly_end;
  uint64_t writable_end;
  // SHA-256 of the image.
  uint8_t digest[32];
} Image;
_Static_assert(offsetof(Image, start) == 0, "Image.start");
_Static_assert(offsetof(Image, bytes) == 8, "Image.bytes");
_Static_assert(offsetof(Image, code_end) == 16, "Image.code_end");
_Static_assert(offsetof(Image, readonly_end) == 24, "Image.readonly_end");
_Static_assert(offsetof(Image, writable_end) == 32, "Image.writable_end");
_Static_assert(offsetof(Image, digest) == 40, "Image.digest");
_Static_assert(sizeof(Image) == 72, "Image");

// Of LAUNCH.
typedef struct Launching {
  uint64_t entry;
  // Of each thread.
  uint64_t scratch_bytes;
  // Nanoseconds; 0 for none.
  uint64_t timeout;
  // That are written before each repeat, so that caches hold none of the arguments.
  uint64_t flush_bytes;
  int32_t grid[3];
  int32_t threads;
  // At least 1.
  uint32_t repeats;
  // Whether cycles and instructions are counted.
  uint32_t counters;
} Launching;
_Static_assert(offsetof(Launching, entry) == 0, "Launching.entry");
_Static_assert(offsetof(Launching, scratch_bytes) == 8, "Launching.scratch_bytes");
_Static_assert(offsetof(Launching, timeout) == 16, "Launching.timeout");
_Static_assert(offsetof(Launching, flush_bytes) == 24, "Launching.flush_bytes");
_Static_assert(offsetof(Launching, grid) == 32, "Launching.grid");
_Static_assert(offsetof(Launching, threads) == 44, "Launching.threads");
_Static_assert(offsetof(Launching, repeats) == 48, "Launching.repeats");
_Static_assert(offsetof(Launching, counters) == 52, "Launching.counters");
_Static_assert(sizeof(Launching) == 56, "Launching");

// Of BLOB.
typedef struct Blob {
  uint64_t start;
  uint64_t bytes;
  // Keep it, rather than look for it.
  uint64_t keep;
  uint8_t digest[32];
} Blob;
_Static_assert(offsetof(Blob, start) == 0, "Blob.start");
_Static_assert(offsetof(Blob, bytes) == 8, "Blob.bytes");
_Static_assert(offsetof(Blob, keep) == 16, "Blob.keep");
_Static_assert(offsetof(Blob, digest) == 24, "Blob.digest");
_Static_assert(sizeof(Blob) == 56, "Blob");

// Of DONE. The nanoseconds of each repeat follow, then the message.
typedef struct Done {
  // As `run_grid` gives it.
  uint32_t status;
  uint32_t repeats;
  int32_t program[3];
  uint32_t message_bytes;
  // Of the core that the agent looked at behind the launch; 0 where the system does not say.
  uint32_t megahertz;
  // 1, or less than 1 the negative number of the error because of which there are no counts.
  int32_t counted;
  uint64_t cycles;
  uint64_t instructions;
} Done;
_Static_assert(offsetof(Done, status) == 0, "Done.status");
_Static_assert(offsetof(Done, repeats) == 4, "Done.repeats");
_Static_assert(offsetof(Done, program) == 8, "Done.program");
_Static_assert(offsetof(Done, message_bytes) == 20, "Done.message_bytes");
_Static_assert(offsetof(Done, megahertz) == 24, "Done.megahertz");
_Static_assert(offsetof(Done, counted) == 28, "Done.counted");
_Static_assert(offsetof(Done, cycles) == 32, "Done.cycles");
_Static_assert(offsetof(Done, instructions) == 40, "Done.instructions");
_Static_assert(sizeof(Done) == 48, "Done");

// Of FAULT.
typedef struct FaultReport {
  uint32_t ended;
  int32_t signal;
  int32_t code;
  int32_t program[3];
  // That a matrix instruction breaks; 0 for another fault.
  uint32_t rule;
  // That instruction.
  uint32_t word;
  // Of a worker that died: its exit code, or the negative number of its signal.
  int32_t status;
  // Whether `counter` and `link` are known.
  uint32_t located;
  // That was accessed.
  uint64_t address;
  // Of the program.
  uint64_t counter;
  // Where the function that it was in returns to.
  uint64_t link;
} FaultReport;
_Static_assert(offsetof(FaultReport, ended) == 0, "FaultReport.ended");
_Static_assert(offsetof(FaultReport, signal) == 4, "FaultReport.signal");
_Static_assert(offsetof(FaultReport, code) == 8, "FaultReport.code");
_Static_assert(offsetof(FaultReport, program) == 12, "FaultReport.program");
_Static_assert(offsetof(FaultReport, rule) == 24, "FaultReport.rule");
_Static_assert(offsetof(FaultReport, word) == 28, "FaultReport.word");
_Static_assert(offsetof(FaultReport, status) == 32, "FaultReport.status");
_Static_assert(offsetof(FaultReport, located) == 36, "FaultReport.located");
_Static_assert(offsetof(FaultReport, address) == 40, "FaultReport.address");
_Static_assert(offsetof(FaultReport, counter) == 48, "FaultReport.counter");
_Static_assert(offsetof(FaultReport, link) == 56, "FaultReport.link");
_Static_assert(sizeof(FaultReport) == 64, "FaultReport");
