// Calls of PyTorch's operators that are like one before, without a step in Python: the key of a call is made of its arguments (call_key.c),
// and the plan of that key has the results to make and the kernels to launch (call_plan.c). What has no plan Python answers; ops/plans.py
// says what a key must tell apart, and writes the plans.
//
// What PyTorch calls is a function of Python's that happens to be in C, so exceptions, references and the global lock are Python's. Tensors
// are read through PyTorch's table of functions for libraries that exchange tensors (DLPack's `__dlpack_c_exchange_api__`).
#include <stdlib.h>
#include <string.h>

#include "calls.h"

enum { MOST_KEPT = 1 << 14 };

Setup setup;

typedef struct Entry {
  uint64_t hash;
  uint64_t *words;
  int count;
  enum { SEEN = 1, NEVER, PLANNED } state;
  Plan *plan;
} Entry;

typedef struct Overload {
  Object *implementation, *record;
  Entry *entries;
  uint64_t capacity, used;
} Overload;

static void clear(Overload *overload) {
  Entry *entries = overload->entries;
  uint64_t capacity = overload->capacity;
  overload->entries = NULL, overload->capacity = overload->used = 0;
  for (uint64_t i = 0; i < capacity; i++) {
    free(entries[i].words);
    drop_plan(entries[i].plan);  // which may run code of Python's
  }
  free(entries);
}

static uint64_t hash_of(const Key *key) {
  uint64_t hash = (uint64_t)key->count;
  for (int i = 0; i < key->count; i++) {
    hash = (hash ^ key->words[i]) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 29;
  }
  return hash;
}

// The entry of a key, or the free one where it would be.
static Entry *find(const Entry *entries, uint64_t capacity, uint64_t hash, const uint64_t *words, int count) {
  for (uint64_t i = hash & (capacity - 1);; i = (i + 1) & (capacity - 1)) {
    const Entry *entry = &entries[i];
    if (!entry->state || (entry->hash == hash && entry->count == count && !memcmp(entry->words, words, (size_t)count * sizeof *words)))
      return (Entry *)entry;
  }
}

static int grow(Overload *overload) {
  uint64_t capacity = overload->capacity ? 2 * overload->capacity : 8;
  Entry *entries = calloc(capacity, sizeof *entries);
  if (!entries) return 0;
  for (uint64_t i = 0; i < overload->capacity; i++) {
    const Entry *entry = &overload->entries[i];
    if (entry->state) *find(entries, capacity, entry->hash, entry->words, entry->count) = *entry;
  }
  free(overload->entries);
  overload->entries = entries, overload->capacity = capacity;
  return 1;
}

// Takes the plan.
static void keep(Overload *overload, const Key *key, uint64_t hash, int state, Plan *plan) {
  if (overload->used >= MOST_KEPT) clear(overload);
  if (2 * overload->used >= overload->capacity && !grow(overload)) {
    drop_plan(plan);
    return;
  }
  Entry *entry = find(overload->entries, overload->capacity, hash, key->words, key->count);
  if (!entry->state) {
    size_t size = (size_t)key->count * sizeof *key->words;
    if (!(entry->words = malloc(size))) {
      drop_plan(plan);
      return;
    }
    memcpy(entry->words, key->words, size);
    entry->hash = hash, entry->count = key->count;
    overload->used++;
  }
  Plan *before = entry->plan;
  entry->state = state, entry->plan = plan;
  drop_plan(before);
}

// Whether a hook is to be told of launches. Chains without calls are no hooks, and what Triton has unless it was told otherwise.
static int is_watched(void) {
  int is_usual = !PyDict_Size(setup.hooks);
  for (int i = 0; is_usual && i < 2; i++) {
    Object *calls = PyDict_GetItemWithError(setup.chains[i], setup.calls);
    is_usual = calls && type_of(calls) == &PyList_Type && !PyList_Size(calls);
  }
  if (is_usual) return 0;
  Object *answer = PyObject_CallNoArgs(setup.is_watched);
  int is_watched = !answer || PyObject_IsTrue(answer);
  if (answer) Py_DecRef(answer);
  return is_watched;
}

// A call without a plan, which may make one.
static Object *miss(Overload *overload, const Call *call, uint64_t hash, int is_second, Object *const *arguments, ssize_t count, Object *names) {
  Object *recorded = PyObject_Vectorcall(is_second ? overload->record : overload->implementation, arguments, (size_t)count, names);
  if (!recorded) return NULL;
  if (!is_second) {
    keep(overload, &call->key, hash, SEEN, NULL);
    return recorded;
  }
  Object *result = PyTuple_GetItem(recorded, 0), *words = PyTuple_GetItem(recorded, 1);
  Py_IncRef(result);
  Plan *plan = words == &_Py_NoneStruct ? NULL : read_plan(words, PyTuple_GetItem(recorded, 2));
  PyErr_Clear();
  keep(overload, &call->key, hash, plan ? PLANNED : NEVER, plan);
  Py_DecRef(recorded);
  return result;
}

static Object *call_overload(Object *self, Object *const *arguments, ssize_t count, Object *names) {
  Overload *overload = PyCapsule_GetPointer(self, NULL);
  Call call;
  make_key(&call, arguments, count, names);
  if (call.key.fails || is_watched()) {
    PyErr_Clear();
    return PyObject_Vectorcall(overload->implementation, arguments, (size_t)count, names);
  }
  uint64_t hash = hash_of(&call.key);
  Entry *entry = overload->used ? find(overload->entries, overload->capacity, hash, call.key.words, call.key.count) : NULL;
  if (!entry || !entry->state) return miss(overload, &call, hash, 0, arguments, count, names);
  if (entry->state == NEVER) return PyObject_Vectorcall(overload->implementation, arguments, (size_t)count, names);
  if (entry->state == PLANNED && is_for_us(entry->plan)) {
    int is_refused;
    Object *result = run_plan(entry->plan, &call, &is_refused);
    return is_refused ? PyObject_Vectorcall(overload->implementation, arguments, (size_t)count, names) : result;
  }
  return miss(overload, &call, hash, 1, arguments, count, names);
}

// What Python calls, with its lock

static Method method = {"call", call_overload, FASTCALL_WITH_NAMES, NULL};

static void end_overload(Object *capsule) {
  Overload *overload = PyCapsule_GetPointer(capsule, NULL);
  clear(overload);
  Py_DecRef(overload->implementation);
  Py_DecRef(overload->record);
  free(overload);
}

void set_up(const Setup *given) { setup = *given; }

// What stands for `implementation`. `record` is called like it, and returns its result and a plan, or None for there can be none.
Object *new_overload(Object *implementation, Object *record) {
  Overload *overload = calloc(1, sizeof *overload);
  if (!overload) return NULL;
  overload->implementation = implementation, overload->record = record;
  Py_IncRef(implementation);
  Py_IncRef(record);
  Object *capsule = PyCapsule_New(overload, NULL, end_overload);
  Object *function = capsule ? PyCFunction_NewEx(&method, capsule, NULL) : NULL;
  if (capsule) Py_DecRef(capsule);
  return function;
}

