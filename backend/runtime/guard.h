// What the process tells the guard, and the guard the watcher.
#pragma once
#include <stdint.h>

// Functions of Python's C interface, and of the device.
typedef struct Python {
  int (*ensure)(void);          // PyGILState_Ensure
  void (*release)(int);         // PyGILState_Release
  int (*check_signals)(void);   // PyErr_CheckSignals
  void (*fetch)(void **, void **, void **);  // PyErr_Fetch
  double (*timeout)(void);      // seconds that a launch may take; 0 for any number
  uint64_t main_thread;         // which Python runs the handlers of signals on
} Python;

void install_guard(const Python *of_process);  // NULL for a process without Python
void stand_first(void);                        // again, before handlers of faults that came after
void leave_python(void);                       // before it ends
int is_guarded(void);                          // whether it is installed
void prepare_thread(void);                     // before it runs kernels
void set_timeout(double (*seconds)(void));     // asked once for each launch that takes long; NULL for none
