/* What a function does that nobody needed yet: it counts the call and is not supported. */
#include "driver.h"

int fakeStub(enum fakeFunction function);

int fakeStub(enum fakeFunction function)
{
    nvmlReturn_t refused = fakeEnter(function, true);

    return refused != NVML_SUCCESS ? refused : NVML_ERROR_NOT_SUPPORTED;
}
