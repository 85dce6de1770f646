// Linux beyond POSIX, which Swift's view of the C library leaves out.

#define _GNU_SOURCE
#include "linux.h"

#include <fcntl.h>

void hanse_begin_writing(int descriptor) {
  (void)sync_file_range(descriptor, 0, 0, SYNC_FILE_RANGE_WRITE);
}
