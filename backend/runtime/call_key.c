// The key of a call: all of its arguments but for what tensors hold and where they lie, and the settings. Two calls have the same key only
// where ops/plans.py may answer both by one plan. All parts of a key say how long they are.
#include <string.h>

#include "calls.h"

enum { ON_CPU = 1, FLOATING = 2, BFLOATING = 4 };  // DLPack's numbers
enum { NONE = 1, TRUE, FALSE, INTEGER, FLOAT, TEXT, LIST, TUPLE, SINGLETON, TENSOR, APART, SHARED, SAME };

static void put(Key *key, uint64_t word) {
  if (key->count < MAX_WORDS)
    key->words[key->count++] = word;
  else
    key->fails = 1;
}

static void put_text(Key *key, const char *text, size_t size) {
  put(key, TEXT | size << 8);
  for (size_t done = 0; done < size && !key->fails; done += sizeof(uint64_t)) {
    uint64_t word = 0;
    memcpy(&word, text + done, size - done < sizeof word ? size - done : sizeof word);
    put(key, word);
  }
}

static void put_string(Key *key, Object *string) {
  ssize_t size;
  const char *text = PyUnicode_AsUTF8AndSize(string, &size);
  if (text)
    put_text(key, text, (size_t)size);
  else
    key->fails = 1;
}

static void put_tensor(Call *call, Object *object) {
  Key *key = &call->key;
  if (call->tensors == MAX_TENSORS) {
    key->fails = 1;
    return;
  }
  Given *given = &call->given[call->tensors];
  Tensor *tensor = &given->tensor;
  if (setup.describe(object, tensor) || tensor->device_type != ON_CPU) {
    key->fails = 1;
    return;
  }
  call->tensors++;
  given->object = object;
  tensor->data += tensor->offset;
  uint64_t type = (uint64_t)tensor->code << 48 | (uint64_t)tensor->bits << 40 | (uint64_t)(tensor->lanes & 0xFF) << 32;
  put(key, TENSOR | (uint64_t)(tensor->rank & 0xFFFF) << 8 | ((uintptr_t)tensor->data & 15) << 24 | type);
  for (int32_t i = 0; i < tensor->rank; i++) put(key, (uint64_t)tensor->shape[i]);
  for (int32_t i = 0; i < tensor->rank; i++) put(key, (uint64_t)tensor->strides[i]);
}

static void put_value(Call *call, Object *value) {
  Key *key = &call->key;
  Object *type = type_of(value);
  if (type == setup.tensor || type == setup.parameter) {
    put_tensor(call, value);
  } else if (value == &_Py_NoneStruct) {
    put(key, NONE);
  } else if (type == &PyLong_Type) {
    int overflow;
    put(key, INTEGER);
    put(key, (uint64_t)PyLong_AsLongLongAndOverflow(value, &overflow));
    if (overflow) key->fails = 1;
  } else if (type == &PyFloat_Type) {
    double number = PyFloat_AsDouble(value);
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    put(key, FLOAT);
    put(key, bits);
  } else if (type == &PyBool_Type) {
    put(key, PyObject_IsTrue(value) ? TRUE : FALSE);
  } else if (type == &PyUnicode_Type) {
    put_string(key, value);
  } else if (type == &PyList_Type || type == &PyTuple_Type) {
    int is_list = type == &PyList_Type;
    ssize_t size = is_list ? PyList_Size(value) : PyTuple_Size(value);
    put(key, (is_list ? LIST : TUPLE) | (uint64_t)size << 8);
    for (ssize_t i = 0; i < size && !key->fails; i++) put_value(call, is_list ? PyList_GetItem(value, i) : PyTuple_GetItem(value, i));
  } else if (PyType_IsSubtype(type, setup.tensor)) {
    put_tensor(call, value);
  } else {
    for (size_t i = 0; i < sizeof setup.singletons / sizeof *setup.singletons; i++)
      if (type == setup.singletons[i]) {
        put(key, SINGLETON);
        put(key, (uintptr_t)value);
        return;
      }
    key->fails = 1;
  }
}

// Where a tensor's elements begin and end.
static void extent_of(const Tensor *tensor, uintptr_t *begin, uintptr_t *end) {
  int64_t last = 0;
  *begin = *end = (uintptr_t)tensor->data;
  for (int32_t i = 0; i < tensor->rank; i++) {
    if (!tensor->shape[i]) return;
    last += (tensor->shape[i] - 1) * tensor->strides[i];
  }
  *end += (uint64_t)(last + 1) * (((uint64_t)tensor->bits * tensor->lanes + 7) / 8);
}

// How tensors share memory.
static void put_overlaps(Call *call) {
  for (int i = 1; i < call->tensors; i++)
    for (int j = 0; j < i; j++) {
      uintptr_t begin, end, other_begin, other_end;
      extent_of(&call->given[i].tensor, &begin, &end);
      extent_of(&call->given[j].tensor, &other_begin, &other_end);
      int is_same = call->given[i].object == call->given[j].object;
      put(&call->key, is_same ? SAME : begin < other_end && other_begin < end ? SHARED : APART);
      if (begin < other_end && other_begin < end) put(&call->key, begin - other_begin);
    }
}

// The dtype of new tensors, which may be that of results where no tensor has a floating-point one.
static void put_default_dtype(Call *call) {
  for (int i = 0; i < call->tensors; i++)
    if (call->given[i].tensor.code == FLOATING || call->given[i].tensor.code == BFLOATING) return;
  Object *dtype = PyObject_CallNoArgs(setup.default_dtype);
  put(&call->key, (uintptr_t)dtype);
  if (dtype) Py_DecRef(dtype);
}

// All settings, as they were made or as the environment has them.
static void put_settings(Call *call) {
  static const char prefix[] = "TRITON_SPACEMIT_", processes[] = "LOCAL_WORLD_SIZE=";
  extern char **environ;
  Object *name, *value;
  for (ssize_t place = 0; PyDict_Next(setup.settings, &place, &name, &value);) {
    put_string(&call->key, name);
    put_value(call, value);
  }
  for (char **entry = environ; entry && *entry; entry++)
    if ((**entry == *prefix && !strncmp(*entry, prefix, sizeof prefix - 1)) ||
        (**entry == *processes && !strncmp(*entry, processes, sizeof processes - 1)))
      put_text(&call->key, *entry, strlen(*entry));
}

void make_key(Call *call, Object *const *arguments, ssize_t count, Object *names) {
  Key *key = &call->key;
  key->count = key->fails = call->tensors = 0;
  ssize_t named = names ? PyTuple_Size(names) : 0;
  put(key, (uint64_t)count);
  for (ssize_t i = 0; i < count + named && !key->fails; i++) {
    if (i >= count) put_string(key, PyTuple_GetItem(names, i - count));
    put_value(call, arguments[i]);
  }
  put_overlaps(call);
  put_default_dtype(call);
  put_settings(call);
}
