/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a HotSpot JVM says of itself in its memory: the tables that the serviceability agent reads
 * (vmStructs.hpp of OpenJDK), which libjvm.so exports in all builds.
 */
#ifndef CHURN_CALLSITE_JAVA_H
#define CHURN_CALLSITE_JAVA_H

#include <stdbool.h>
#include <stdint.h>

#include "user/callsite/elf_file.h"

/*
 * Whether its compiled methods keep frame pointers (-XX:+PreserveFramePointer). `jvm` is libjvm.so,
 * loaded `bias` above its own addresses; `mem` is a descriptor of /proc/PID/mem. 0 or -errno
 * (-ENOENT: it is no HotSpot, or one whose tables are not as we know them).
 */
int java_keeps_frame_pointers(struct elf_file *jvm, uint64_t bias, int mem, bool *out);

#endif /* CHURN_CALLSITE_JAVA_H */
