// What host and guest say to each other, written by `make docs` from backend/protocol.py.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { CONTROL_BYTES = 1048576, TEXT_BYTES = 131072, OPERANDS = 16 };
enum { READY = 1, DONE = 2, PRINT = 3, PAGE_FAULT = 4, FAULT = 5 };  // events
enum { MAP = 1, UNMAP = 2, LAUNCH = 3, EXTERNALS = 4 };  // commands
enum { UNKNOWN = 0, MAP_IT = 1, TRY_AGAIN = 2 };  // answers to PAGE_FAULT

// The first 1048576 bytes of the file that host and guest share. Behind it are the arguments of LAUNCH, the rows of MAP and
// UNMAP, and the addresses of EXTERNALS.
typedef struct Control {
  // Counts events.
  _Atomic uint32_t event_bell;
  // Counts answers.
  _Atomic uint32_t command_bell;
  uint32_t event;
  uint32_t command;
  // Of the command, or the answer to an event.
  uint64_t operands[16];
  // Of the event.
  uint64_t answers[16];
  // By LAUNCH: from here on, programs may have run.
  uint32_t started;
  // Of the event, with its length in the first answer.
  char text[131072];
} Control;
_Static_assert(offsetof(Control, event_bell) == 0, "Control.event_bell");
_Static_assert(offsetof(Control, command_bell) == 4, "Control.command_bell");
_Static_assert(offsetof(Control, event) == 8, "Control.event");
_Static_assert(offsetof(Control, command) == 12, "Control.command");
_Static_assert(offsetof(Control, operands) == 16, "Control.operands");
_Static_assert(offsetof(Control, answers) == 144, "Control.answers");
_Static_assert(offsetof(Control, started) == 272, "Control.started");
_Static_assert(offsetof(Control, text) == 276, "Control.text");
_Static_assert(sizeof(Control) == 131352, "Control");
