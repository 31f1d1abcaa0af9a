/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fields of a line as the structs want them. As in replay_line.h: false when a field is there but
 * not what it should be; when it is absent they return true and leave *out alone.
 */
#ifndef CHURN_SOURCE_REPLAY_FIELDS_H
#define CHURN_SOURCE_REPLAY_FIELDS_H

#include "bpf/event.h"
#include "user/model/process.h"
#include "user/source/replay_line.h"

#define REPLAY_MAX_ARGS 4096

bool take_u8(struct line *l, enum field f, uint8_t *out);
bool take_u16(struct line *l, enum field f, uint64_t max, uint16_t *out);
bool take_u32(struct line *l, enum field f, uint32_t *out);
bool take_u64(struct line *l, enum field f, __u64 *out);
bool take_hex(struct line *l, enum field f, __u64 *out);
bool take_text(struct line *l, enum field f, char *dst, size_t max, size_t size);
bool take_addr(struct line *l, enum field f, uint8_t addr[16]);
bool take_id(struct line *l, struct churn_id *id);
int family_from_name(const char *name);
/* All of it points into the line and into args[REPLAY_MAX_ARGS + 1]. */
bool take_process(struct line *l, char **args, struct process_identity *p);

#endif /* CHURN_SOURCE_REPLAY_FIELDS_H */
