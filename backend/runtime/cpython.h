// What calls.c takes of CPython: public functions of its interface for C, and that an object's type follows its reference count, as in all
// extensions that are built for its stable ABI. No headers of Python's are needed to build it.
#pragma once
#include <stddef.h>
#include <sys/types.h>

typedef struct Object Object;
typedef Object *(*Function)(Object *self, Object *const *arguments, ssize_t count, Object *names);
typedef struct Method {
  const char *name;
  Function function;
  int flags;
  const char *doc;
} Method;
enum { FASTCALL_WITH_NAMES = 0x82 };

extern Object PyLong_Type, PyFloat_Type, PyBool_Type, PyUnicode_Type, PyList_Type, PyTuple_Type, _Py_NoneStruct;
Object *PyCFunction_NewEx(Method *, Object *self, Object *module);
Object *PyCapsule_New(void *, const char *name, void (*end)(Object *));
void *PyCapsule_GetPointer(Object *, const char *name);
const char *PyUnicode_AsUTF8AndSize(Object *, ssize_t *size);
double PyFloat_AsDouble(Object *);
int PyBytes_AsStringAndSize(Object *, char **text, ssize_t *size);
int PyObject_IsTrue(Object *);
int PyType_IsSubtype(Object *, Object *);
long long PyLong_AsLongLongAndOverflow(Object *, int *overflow);
Object *PyDict_GetItemWithError(Object *, Object *key);
ssize_t PyDict_Size(Object *);
int PyDict_Next(Object *, ssize_t *place, Object **key, Object **value);
Object *PyErr_Occurred(void);
Object *PyEval_SaveThread(void);
Object *PyList_GetItem(Object *, ssize_t);
Object *PyObject_Call(Object *, Object *arguments, Object *named);
Object *PyObject_CallFunction(Object *, const char *format, ...);
Object *PyObject_CallNoArgs(Object *);
Object *PyObject_Vectorcall(Object *, Object *const *arguments, size_t count, Object *names);
Object *PyTuple_GetItem(Object *, ssize_t);
Object *PyTuple_New(ssize_t);
int PyTuple_SetItem(Object *, ssize_t, Object *);
ssize_t PyList_Size(Object *);
ssize_t PyTuple_Size(Object *);
void PyErr_Clear(void);
void PyEval_RestoreThread(Object *);
void Py_DecRef(Object *);
void Py_IncRef(Object *);

static inline Object *type_of(Object *object) { return ((Object **)object)[1]; }
