#ifndef HANSE_FILES_H
#define HANSE_FILES_H

/// Has the disk begin to write what an open file has in memory, and waits for nothing. It promises
/// nothing either: what fails is reported by the sync that must follow.
void hanse_begin_writing(int descriptor);

#endif
