#ifndef HANSE_LINUX_H
#define HANSE_LINUX_H

// What Swift's Glibc module leaves out: mallopt, and sync_file_range.
#include <malloc.h>

/// Has the disk begin to write what an open file has in memory, and waits for nothing. It promises
/// nothing either: what fails is reported by the sync that must follow.
void hanse_begin_writing(int descriptor);

#endif
