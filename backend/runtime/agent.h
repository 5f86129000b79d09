// The parts of the agent on a board (agent.c): what they know of each other.
#pragma once
#include <stdint.h>
#include <sys/uio.h>

#include "ranges.h"
#include "wire.h"

// What the agent is, and the memory that it lends. Workers have the same file.
typedef struct Agent {
  int file;                // a memfd of a fixed size: the control block, then images, then tensors
  uint8_t *memory;         // all of it
  uint64_t file_bytes;
  Area code, arena;        // the addresses that images and tensors have
  const char *cache;       // the folder of blobs, or NULL
  int require_sandbox;
  int emulated;            // not a board: a worker cannot be started by `exec` where the program's machine is emulated
} Agent;
extern Agent agent;

// The offset in the file of an address that lies in one of the areas.
uint64_t place_of(uint64_t address);

// agent_link.c: the link to the host. Where it ends, the agent does.
void open_link(int input, int output);
void receive(void *into, uint64_t bytes);
void send_frame(uint32_t type, uint32_t sequence, const struct iovec *parts, int count);
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);  // says ERROR, and ends
int link_to_watch(void);       // the descriptor to be polled while a launch is under way, -1 while there is no room for what it has
int link_is_ready(void);       // called when it has something: whether that has a CANCEL in it
__attribute__((noreturn)) void end_agent(int status);

// agent_workers.c: the process that runs kernels
void set_worker_kind(const WorkerKind *kind);
void unmap_in_worker(uint64_t start, uint64_t bytes);
void launch(uint32_t sequence, const Launching *order, const void *slots, uint64_t slot_bytes);
void end_worker(void);

// worker.c: what such a process does to itself
__attribute__((noreturn)) void become_worker(const WorkerKind *kind, int bell, int life);
int worker_main(char **values);        // of `agent --worker`
const char *why_no_sandbox(void);      // NULL where there can be one
const char *why_no_counters(void);

// agent_info.c
uint64_t available_bytes(void);        // of memory
const char *describe_board(uint64_t *bytes);  // the JSON text of INFO
uint32_t megahertz(void);
