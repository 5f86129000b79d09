// Memory that the agent keeps from one session to the next, found by its SHA-256: only where it was started with a folder for that.
#pragma once
#include "wire.h"

int find_blob(const Blob *blob, void *into);  // whether it is there, and is what its name says
int keep_blob(const Blob *blob, const void *from, const char **problem);
