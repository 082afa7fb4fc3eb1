/* A milter that does what the input says, in front of the whole filter. */

#include "t/milter_chaos.h"

#include "fuzz.h"

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	chaos_begin();
	atexit(chaos_remove_files);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	chaos_session(data, size);
	return 0;
}
