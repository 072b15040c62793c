/* What zstd asks of <stdlib.h>, for a driver: from non-paged pool (driver/kernel/src/nt/pool.rs). */
#pragma once
#include <stddef.h>

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void free(void *block);
