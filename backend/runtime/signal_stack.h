// A stack for handlers of signals: a kernel may have used up its thread's own.
#pragma once

// Give this thread one, unless it has one; it is freed with the thread.
void use_signal_stack(void);
