// A plan: the results of a call are made, and its kernels launched, with the addresses of this call in their slots.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"

enum { MAX_SLOTS = 128, MAX_NEW = 8, LINE = 64 };

// Memory that a thread keeps for the temporary tensors of plans.
typedef struct Room {
  char *memory;
  int64_t bytes;
  int is_taken;  // by a call that this one interrupts, from a handler of a signal
} Room;
static _Thread_local Room room;
static pthread_key_t ends_with_thread;

__attribute__((constructor)) static void prepare(void) { pthread_key_create(&ends_with_thread, free); }

enum { NEW, ARGUMENT, TEMPORARY, NO_RESULT };

// Where a pointer of a launch leads.
typedef struct Patch {
  int64_t slot, kind, number, offset;
} Patch;

// check: where in the room a flag lies that the kernel raises if the implementation is to answer after all; -1 for none.
typedef struct Launch {
  const Program *program;
  int64_t is_grid, x, y, z, check, num_slots, num_patches;
} Launch;

// A new or temporary tensor that begins as zeros.
typedef struct Clear {
  int64_t kind, number, offset, bytes;
} Clear;

typedef struct Head {
  int64_t room_bytes, processors, threads, num_new, num_results, is_tuple, num_clears, num_launches;
} Head;

enum { RAISED = -1 };  // in place of a status

void drop_plan(Plan *plan) {
  if (!plan || --plan->references) return;
  Py_DecRef(plan->objects);
  free(plan);
}

static int64_t count_processors(void) {
  cpu_set_t processors;
  return sched_getaffinity(0, sizeof processors, &processors) ? -1 : CPU_COUNT(&processors);
}

int is_for_us(const Plan *plan) {
  const Head *head = (const Head *)plan->words;
  return !head->processors || head->processors == count_processors();
}

static int launch(const Plan *plan, const int64_t *words, const Call *call, char *const *made, int64_t *failed) {
  const Head *head = (const Head *)plan->words;
  char *memory = NULL;
  int owns_room = head->room_bytes && !room.is_taken;
  if (owns_room) {
    if (room.bytes < head->room_bytes) {
      free(room.memory);
      room.memory = aligned_alloc(LINE, (size_t)head->room_bytes);
      room.bytes = room.memory ? head->room_bytes : 0;
      pthread_setspecific(ends_with_thread, room.memory);
    }
    memory = room.memory;
    room.is_taken = 1;
  } else if (head->room_bytes) {
    memory = aligned_alloc(LINE, (size_t)head->room_bytes);
  }
  int status = head->room_bytes && !memory ? NO_MEMORY : OK;
  Object *thread = PyEval_SaveThread();
  const Clear *clears = (const Clear *)words;
  for (int64_t i = 0; !status && i < head->num_clears; i++)
    memset((clears[i].kind == NEW ? made[clears[i].number] : memory) + clears[i].offset, 0, (size_t)clears[i].bytes);
  words = (const int64_t *)(clears + head->num_clears);
  for (*failed = 0; !status && *failed < head->num_launches; ++*failed) {
    const Launch *own = (const Launch *)words;
    uint64_t slots[MAX_SLOTS];
    words += sizeof *own / sizeof *words;
    memcpy(slots, words, (size_t)own->num_slots * sizeof *slots);
    words += own->num_slots;
    const Patch *patches = (const Patch *)words;
    for (int64_t i = 0; i < own->num_patches; i++) {
      const Patch *patch = &patches[i];
      const char *base = patch->kind == NEW        ? made[patch->number]
                         : patch->kind == ARGUMENT ? call->given[patch->number].tensor.data
                                                   : memory;
      slots[patch->slot] = (uintptr_t)base + (uint64_t)patch->offset;
    }
    words = (const int64_t *)(patches + own->num_patches);
    if (own->is_grid)
      status = setup.run_grid(own->program, slots, (int32_t)own->x, (int32_t)own->y, (int32_t)own->z, (int32_t)head->threads);
    else
      status = setup.run_one(own->program, slots);
    if (!status && own->check >= 0 && *(const int32_t *)(memory + own->check)) status = RAISED;
    if (status) break;
  }
  PyEval_RestoreThread(thread);
  if (owns_room)
    room.is_taken = 0;
  else
    free(memory);
  return status;
}

Object *run_plan(Plan *plan, const Call *call, int *is_refused) {
  const Head *head = (const Head *)plan->words;
  const int64_t *results = plan->words + sizeof *head / sizeof *plan->words;
  Object *made[MAX_NEW] = {NULL}, *result = NULL;
  char *addresses[MAX_NEW];
  int64_t failed;
  *is_refused = 0;
  plan->references++;
  for (int64_t i = 0; i < head->num_new; i++) {
    Tensor tensor;
    made[i] = PyObject_Call(setup.new_tensor, PyTuple_GetItem(PyTuple_GetItem(plan->objects, 0), i), NULL);
    if (!made[i] || setup.describe(made[i], &tensor)) goto end;
    addresses[i] = tensor.data + tensor.offset;
  }
  int status = launch(plan, results + 2 * head->num_results, call, addresses, &failed);
  *is_refused = status == RAISED;
  if (*is_refused) goto end;
  if (status) {
    Object *raised = PyObject_CallFunction(PyTuple_GetItem(PyTuple_GetItem(plan->objects, 1), failed), "i", status);
    if (raised) Py_DecRef(raised);
    goto end;
  }
  if (head->is_tuple && !(result = PyTuple_New(head->num_results))) goto end;
  for (int64_t i = 0; i < head->num_results; i++) {
    int64_t kind = results[2 * i], number = results[2 * i + 1];
    Object *own = kind == NEW ? made[number] : kind == ARGUMENT ? call->given[number].object : &_Py_NoneStruct;
    Py_IncRef(own);
    if (head->is_tuple)
      PyTuple_SetItem(result, i, own);
    else
      result = own;
  }
end:
  for (int64_t i = 0; i < head->num_new && made[i]; i++) Py_DecRef(made[i]);
  drop_plan(plan);
  return result;
}

Plan *read_plan(Object *words, Object *objects) {
  char *text;
  ssize_t size;
  if (PyBytes_AsStringAndSize(words, &text, &size)) return NULL;
  Plan *plan = malloc(sizeof *plan + (size_t)size);
  if (!plan) return NULL;
  memcpy(plan->words, text, (size_t)size);
  plan->references = 1;
  plan->objects = objects;
  Py_IncRef(objects);
  return plan;
}
