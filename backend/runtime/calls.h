// What the parts of calls.so offer each other: calls of operators that are like one before (calls.c).
#pragma once
#include "abi.h"
#include "cpython.h"

enum { MAX_TENSORS = 16, MAX_WORDS = 192 };

typedef struct Tensor {  // DLPack's DLTensor
  char *data;
  int32_t device_type, device;
  int32_t rank;
  uint8_t code, bits;
  uint16_t lanes;
  const int64_t *shape, *strides;
  uint64_t offset;
} Tensor;
typedef int (*Describe)(Object *, Tensor *);

// What Python gives once.
typedef struct Setup {
  Describe describe;
  int (*run_one)(const Program *, const uint64_t *);
  int (*run_grid)(const Program *, const uint64_t *, int32_t, int32_t, int32_t, int32_t);
  Object *tensor, *parameter;  // types
  Object *singletons[3];       // types of objects of which there is one for each value
  Object *new_tensor;          // called with shape, strides and dtype
  Object *default_dtype;       // says which it is
  Object *settings;            // the dictionary of those that were made
  Object *hooks;               // the dictionary of hooks that were put in the place of Triton's chains
  Object *chains[2], *calls;   // the dictionaries of these chains, and the name of a chain's list
  Object *is_watched;          // says whether a hook is to be told of launches
} Setup;
extern Setup setup;

typedef struct Key {
  uint64_t words[MAX_WORDS];
  int count;
  int fails;  // whether there is no such key
} Key;

typedef struct Given {
  Object *object;
  Tensor tensor;
} Given;

typedef struct Call {
  Key key;
  Given given[MAX_TENSORS];
  int tensors;
} Call;

// call_key.c
void make_key(Call *call, Object *const *arguments, ssize_t count, Object *names);  // of `count` positional arguments, and named ones

typedef struct Plan {
  int64_t references;
  Object *objects;  // the arguments that make each new tensor, what raises the failure of each launch, and what is to be kept
  int64_t words[];  // a Head, two for each result, Clears, Launches with their slots and Patches
} Plan;

// call_plan.c
Plan *read_plan(Object *words, Object *objects);  // NULL without memory
void drop_plan(Plan *plan);                       // may be NULL
int is_for_us(const Plan *plan);                  // whether there are as many processors as when it was made, where that counts
Object *run_plan(Plan *plan, const Call *call, int *is_refused);  // NULL with an exception, or where the implementation is to answer
