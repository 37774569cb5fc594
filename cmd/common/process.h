// What both programs do before anything else.
#pragma once

namespace pakv {

// Takes the places of stdin, stdout and stderr where the program was started without them, or the
// next file or socket that it opens would stand there, and be written to. Reading from such a stdin
// and writing to such a stdout or stderr fail, as they do where nothing is open.
void HoldStandardDescriptors();

// From here on a process that gets no memory says so and ends with `exit_code`: `text` is its one
// line on stderr, line end included, and lasts as long as the process. Once.
void ExitWhenOutOfMemory(const char* text, int exit_code);

}  // namespace pakv
