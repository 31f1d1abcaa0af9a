/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lines of CPython code objects, against what the interpreters themselves say: tables as 3.8
 * to 3.13 made them, and the lines that dis.findlinestarts() (3.8, 3.9), co_lines() (3.10) and
 * co_positions() (since 3.11) give for each instruction.
 */
#include "user/base/array.h"
#include "user/callsite/python_layout.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
/* After the four that it needs. */
#include <cmocka.h>

/* From that byte of the code to the next run; the last one begins at the end of the code. */
struct run {
	uint32_t instr;
	uint32_t line; /* 0: none */
};

/*
 * `subject`, from line 5 on: loops, `with`, nested try, calls and list comprehensions over several
 * lines, which lead back and forth. `far` has increments that do not fit a byte, `wide` code that
 * does not fit an entry, `tight` its first line in use.
 */
static const uint8_t subject_3_8[] = {
	0x00, 0x02, 0x08, 0x01, 0x0c, 0x01, 0x04, 0x01, 0x04, 0x01, 0x02, 0x01, 0x02, 0xfe,
	0x06, 0x03, 0x02, 0x01, 0x04, 0x01, 0x06, 0xff, 0x12, 0x03, 0x04, 0x01, 0x02, 0xff,
	0x0e, 0x02, 0x0c, 0x00, 0x02, 0x01, 0x22, 0x02, 0x02, 0x01, 0x02, 0x01, 0x02, 0xff,
	0x02, 0xff, 0x08, 0x04, 0x04, 0x01, 0x0a, 0x01, 0x0a, 0x04, 0x02, 0xfc};
static const struct run subject_3_8_runs[] = {
	{0, 6},	   {8, 7},    {20, 8},	 {24, 9},   {28, 10},  {30, 11},  {32, 9},
	{38, 12},  {40, 13},  {44, 14},	 {50, 13},  {68, 16},  {72, 17},  {74, 16},
	{88, 18},  {102, 19}, {136, 21}, {138, 22}, {140, 23}, {142, 22}, {144, 21},
	{152, 25}, {156, 26}, {166, 27}, {176, 31}, {178, 27}, {184, 0}};

static const uint8_t far_3_8[] = {0x00, 0x01, 0x06, 0x7f, 0x00, 0x4a, 0x08, 0x7f, 0x00, 0x7f,
				  0x00, 0x2f, 0x02, 0x7f, 0x00, 0x7f, 0x00, 0x25, 0x02, 0x80,
				  0x00, 0x80, 0x00, 0xdd, 0x04, 0x7f, 0x00, 0x7f, 0x00, 0x26};
static const struct run far_3_8_runs[] = {{0, 2},    {6, 203},	{14, 504}, {16, 795},
					  {18, 504}, {22, 796}, {26, 0}};

static const uint8_t wide_3_8[] = {0x00, 0x01, 0xff, 0x00, 0xff, 0x00, 0xff, 0x00, 0x29, 0x01};
static const struct run wide_3_8_runs[] = {{0, 2}, {806, 3}, {810, 0}};

static const uint8_t subject_3_9[] = {
	0x00, 0x02, 0x08, 0x01, 0x0c, 0x01, 0x04, 0x01, 0x04, 0x01, 0x02, 0x01, 0x02, 0xfe, 0x06,
	0x03, 0x02, 0x01, 0x04, 0x01, 0x06, 0xff, 0x26, 0x03, 0x04, 0x01, 0x02, 0xff, 0x0c, 0x02,
	0x0e, 0x01, 0x0c, 0x02, 0x02, 0x01, 0x02, 0x01, 0x02, 0xff, 0x02, 0xff, 0x04, 0xfe, 0x1a,
	0x02, 0x02, 0x01, 0x02, 0x01, 0x02, 0xff, 0x02, 0xff, 0x08, 0x01, 0x02, 0x01, 0x02, 0xff,
	0x02, 0xff, 0x08, 0x04, 0x04, 0x01, 0x0a, 0x01, 0x0a, 0x04, 0x02, 0xfc};
static const struct run subject_3_9_runs[] = {
	{0, 6},	   {8, 7},    {20, 8},	 {24, 9},   {28, 10},  {30, 11},  {32, 9},   {38, 12},
	{40, 13},  {44, 14},  {50, 13},	 {88, 16},  {92, 17},  {94, 16},  {106, 18}, {120, 19},
	{132, 21}, {134, 22}, {136, 23}, {138, 22}, {140, 21}, {144, 19}, {170, 21}, {172, 22},
	{174, 23}, {176, 22}, {178, 21}, {186, 22}, {188, 23}, {190, 22}, {192, 21}, {200, 25},
	{204, 26}, {214, 27}, {224, 31}, {226, 27}, {232, 0}};

static const uint8_t subject_3_10[] = {
	0x08, 0x02, 0x0c, 0x01, 0x04, 0x01, 0x04, 0x01, 0x02, 0x01, 0x02, 0x01, 0x06, 0xfe,
	0x02, 0x03, 0x04, 0x01, 0x06, 0x01, 0x06, 0xff, 0x1c, 0xfc, 0x04, 0x80, 0x04, 0x07,
	0x02, 0x01, 0x0c, 0xff, 0x0e, 0x02, 0x0c, 0x01, 0x02, 0x02, 0x02, 0x01, 0x02, 0x01,
	0x02, 0xff, 0x06, 0xff, 0x08, 0x80, 0x02, 0xfb, 0x02, 0x80, 0x02, 0x05, 0x02, 0x01,
	0x02, 0x01, 0x02, 0xff, 0x08, 0xff, 0x02, 0x01, 0x02, 0x01, 0x02, 0xff, 0x06, 0xff,
	0x04, 0x04, 0x08, 0x01, 0x04, 0xff, 0x0a, 0x02, 0x02, 0x04, 0x06, 0xfc};
static const struct run subject_3_10_runs[] = {
	{0, 6},	   {8, 7},    {20, 8},	 {24, 9},   {28, 10},  {30, 11},  {32, 9},
	{38, 12},  {40, 13},  {44, 14},	 {50, 13},  {56, 9},   {84, 0},	  {88, 16},
	{92, 17},  {94, 16},  {106, 18}, {120, 19}, {132, 21}, {134, 22}, {136, 23},
	{138, 22}, {140, 21}, {146, 0},	 {154, 16}, {156, 0},  {158, 21}, {160, 22},
	{162, 23}, {164, 22}, {166, 21}, {174, 22}, {176, 23}, {178, 22}, {180, 21},
	{186, 25}, {190, 26}, {198, 25}, {202, 27}, {212, 31}, {214, 27}, {220, 0}};

static const uint8_t far_3_10[] = {0x06, 0x01, 0x00, 0x7f, 0x08, 0x4a, 0x00, 0x7f, 0x00, 0x7f,
				   0x02, 0x2f, 0x00, 0x7f, 0x00, 0x7f, 0x02, 0x25, 0x00, 0x81,
				   0x00, 0x81, 0x04, 0xdb, 0x00, 0x7f, 0x00, 0x7f, 0x04, 0x26};
static const struct run far_3_10_runs[] = {{0, 2},    {6, 203},	 {14, 504}, {16, 795},
					   {18, 504}, {22, 796}, {26, 0}};

static const uint8_t wide_3_10[] = {0xfe, 0x01, 0xfe, 0x00, 0xfe, 0x00,
				    0xfe, 0x00, 0xc2, 0x00, 0x04, 0x01};
static const struct run wide_3_10_runs[] = {{0, 2}, {1210, 3}, {1214, 0}};

static const uint8_t subject_3_11[] = {
	0xf8, 0x80, 0x00, 0xe0, 0x04, 0x11, 0x80, 0x4d, 0x80, 0x4d, 0x80, 0x4d, 0xdd, 0x13, 0x18,
	0x98, 0x15, 0x91, 0x3c, 0x94, 0x3c, 0xf0, 0x00, 0x11, 0x05, 0x0e, 0xf0, 0x00, 0x11, 0x05,
	0x0e, 0x88, 0x07, 0xf0, 0x02, 0x10, 0x09, 0x0e, 0xd8, 0x11, 0x17, 0xd7, 0x11, 0x29, 0xd2,
	0x11, 0x29, 0xd8, 0x10, 0x17, 0xd8, 0x18, 0x19, 0xf0, 0x05, 0x00, 0x12, 0x2a, 0xf1, 0x00,
	0x03, 0x12, 0x0e, 0xf4, 0x00, 0x03, 0x12, 0x0e, 0xf0, 0x00, 0x06, 0x0d, 0x12, 0xf0, 0x06,
	0x00, 0x12, 0x13, 0xd8, 0x10, 0x11, 0x97, 0x09, 0x92, 0x09, 0xd8, 0x14, 0x18, 0x98, 0x37,
	0x91, 0x4e, 0xf1, 0x03, 0x02, 0x11, 0x12, 0xf4, 0x00, 0x02, 0x11, 0x12, 0xf0, 0x00, 0x02,
	0x11, 0x12, 0xf0, 0x09, 0x06, 0x0d, 0x12, 0xf0, 0x00, 0x06, 0x0d, 0x12, 0xf0, 0x00, 0x06,
	0x0d, 0x12, 0xf1, 0x00, 0x06, 0x0d, 0x12, 0xf4, 0x00, 0x06, 0x0d, 0x12, 0xf0, 0x00, 0x06,
	0x0d, 0x12, 0xf0, 0x00, 0x06, 0x0d, 0x12, 0xf0, 0x00, 0x06, 0x0d, 0x12, 0xf0, 0x00, 0x06,
	0x0d, 0x12, 0xf0, 0x00, 0x06, 0x0d, 0x12, 0xf0, 0x00, 0x06, 0x0d, 0x12, 0xf8, 0xf8, 0xf8,
	0xf0, 0x00, 0x06, 0x0d, 0x12, 0xf0, 0x00, 0x06, 0x0d, 0x12, 0xf0, 0x00, 0x06, 0x0d, 0x12,
	0xf0, 0x00, 0x06, 0x0d, 0x12, 0xf8, 0xf8, 0xf5, 0x0e, 0x00, 0x11, 0x18, 0xdd, 0x10, 0x1a,
	0xf0, 0x03, 0x01, 0x10, 0x1c, 0xf0, 0x00, 0x03, 0x09, 0x15, 0xf0, 0x00, 0x03, 0x09, 0x15,
	0xf0, 0x00, 0x03, 0x09, 0x15, 0xe0, 0x0f, 0x16, 0x98, 0x25, 0xa0, 0x21, 0x99, 0x29, 0xd2,
	0x0f, 0x23, 0xd0, 0x0f, 0x23, 0xa0, 0x55, 0xd8, 0x0c, 0x14, 0x88, 0x48, 0x88, 0x48, 0x88,
	0x48, 0xe0, 0x0c, 0x13, 0xd8, 0x10, 0x11, 0xd8, 0x10, 0x15, 0xf1, 0x03, 0x01, 0x11, 0x16,
	0xf1, 0x03, 0x03, 0x0d, 0x0e, 0x88, 0x47, 0x88, 0x47, 0xf8, 0xf8, 0xf8, 0xf8, 0xf0, 0x0b,
	0x03, 0x09, 0x15, 0xf8, 0xf8, 0xf8, 0xf0, 0x0a, 0x00, 0x0d, 0x14, 0xd8, 0x10, 0x11, 0xd8,
	0x10, 0x15, 0xf1, 0x03, 0x01, 0x11, 0x16, 0xf1, 0x03, 0x03, 0x0d, 0x0e, 0x88, 0x47, 0x88,
	0x47, 0xf8, 0x88, 0x47, 0xd8, 0x10, 0x11, 0xd8, 0x10, 0x15, 0xf1, 0x03, 0x01, 0x11, 0x16,
	0xf1, 0x03, 0x03, 0x0d, 0x0e, 0x88, 0x47, 0x88, 0x47, 0x88, 0x47, 0x88, 0x47, 0x88, 0x47,
	0xf0, 0x08, 0x00, 0x0b, 0x10, 0xf0, 0x00, 0x01, 0x05, 0x13, 0xd8, 0x08, 0x0d, 0x90, 0x11,
	0x89, 0x0a, 0x88, 0x05, 0xf0, 0x03, 0x00, 0x0b, 0x10, 0xf0, 0x00, 0x01, 0x05, 0x13, 0xf0,
	0x04, 0x05, 0x0c, 0x06, 0xf0, 0x00, 0x05, 0x0c, 0x06, 0xf0, 0x00, 0x05, 0x0c, 0x06, 0xf0,
	0x00, 0x05, 0x0c, 0x06, 0xf0, 0x08, 0x00, 0x15, 0x1c, 0xf0, 0x09, 0x05, 0x0c, 0x06, 0xf1,
	0x00, 0x05, 0x0c, 0x06, 0xf4, 0x00, 0x05, 0x0c, 0x06, 0xf0, 0x00, 0x05, 0x05, 0x06};
static const struct run subject_3_11_runs[] = {
	{0, 0},	   {2, 4},    {4, 6},	 {12, 7},   {46, 8},   {48, 9},	  {72, 10},  {74, 11},
	{76, 9},   {94, 12},  {96, 13},	 {120, 14}, {128, 13}, {144, 9},  {176, 0},  {182, 9},
	{190, 0},  {194, 16}, {206, 17}, {218, 16}, {226, 18}, {246, 19}, {254, 21}, {256, 22},
	{258, 23}, {260, 22}, {264, 21}, {272, 0},  {280, 16}, {282, 0},  {288, 21}, {290, 22},
	{292, 23}, {294, 22}, {298, 21}, {306, 0},  {308, 21}, {310, 22}, {312, 23}, {314, 22},
	{318, 21}, {332, 25}, {336, 26}, {346, 25}, {350, 27}, {358, 31}, {360, 27}, {378, 0}};

static const uint8_t tight_3_11[] = {0x80, 0x00, 0x88, 0x61, 0x88, 0x61, 0x89, 0x63, 0x8c, 0x63,
				     0x88, 0x63, 0x90, 0x31, 0x90, 0x31, 0x90, 0x51, 0x91, 0x34,
				     0x94, 0x34, 0x90, 0x34, 0xd8, 0x01, 0x02, 0xd8, 0x01, 0x02,
				     0xf0, 0x05, 0x02, 0x21, 0x04, 0xf0, 0x00, 0x02, 0x1a, 0x04};
static const struct run tight_3_11_runs[] = {{0, 1}, {44, 2}, {46, 3}, {48, 1}, {52, 0}};

static const uint8_t far_3_12[] = {
	0x80, 0x00, 0xd9, 0x04, 0x05, 0x84, 0x43, 0xf1, 0x52, 0x06, 0x00, 0x05, 0x06, 0x80, 0x61,
	0x84, 0x44, 0xf1, 0x5a, 0x09, 0x00, 0x05, 0x06, 0xf0, 0x46, 0x09, 0x00, 0x05, 0x06, 0xf4,
	0x47, 0x09, 0x63, 0x04, 0x05, 0x07, 0xf0, 0x48, 0x09, 0x00, 0x0c, 0x0d, 0x80, 0x48};
static const struct run far_3_12_runs[] = {{0, 1},    {2, 2},	 {16, 203}, {32, 504},
					   {36, 795}, {38, 504}, {48, 796}, {52, 0}};

static const uint8_t tight_3_12[] = {0x80, 0x00, 0x89, 0x61, 0x8c, 0x63, 0x91, 0x31, 0x90, 0x51,
				     0x94, 0x34, 0xd8, 0x01, 0x02, 0xd8, 0x01, 0x02, 0xf0, 0x05,
				     0x02, 0x21, 0x04, 0xf0, 0x00, 0x02, 0x1a, 0x04};
static const struct run tight_3_12_runs[] = {{0, 1}, {32, 2}, {34, 3}, {36, 1}, {40, 0}};

static const uint8_t subject_3_13[] = {
	0x80, 0x00, 0xe3, 0x04, 0x11, 0xdc, 0x13, 0x18, 0x98, 0x15, 0x96, 0x3c, 0x88, 0x07, 0xf0,
	0x02, 0x10, 0x09, 0x0e, 0xd8, 0x11, 0x17, 0xd7, 0x11, 0x29, 0xd1, 0x11, 0x29, 0xd8, 0x10,
	0x17, 0xd8, 0x18, 0x19, 0xf0, 0x05, 0x00, 0x12, 0x2a, 0xf1, 0x00, 0x03, 0x12, 0x0e, 0xf0,
	0x06, 0x00, 0x12, 0x13, 0xd8, 0x10, 0x11, 0x97, 0x09, 0x91, 0x09, 0xd8, 0x14, 0x18, 0x98,
	0x37, 0x91, 0x4e, 0xf4, 0x03, 0x02, 0x11, 0x12, 0xf7, 0x09, 0x03, 0x12, 0x0e, 0xf0, 0x18,
	0x00, 0x0d, 0x14, 0xd8, 0x10, 0x11, 0xd8, 0x10, 0x15, 0xf1, 0x03, 0x01, 0x11, 0x16, 0xf1,
	0x03, 0x03, 0x0d, 0x0e, 0x8a, 0x47, 0xf1, 0x1d, 0x00, 0x14, 0x20, 0xf6, 0x24, 0x00, 0x0b,
	0x10, 0xd8, 0x08, 0x0d, 0x90, 0x11, 0x89, 0x0a, 0x88, 0x05, 0xf7, 0x03, 0x00, 0x0b, 0x10,
	0x88, 0x25, 0xf1, 0x0c, 0x00, 0x15, 0x1c, 0xf3, 0x09, 0x05, 0x0c, 0x06, 0xf1, 0x08, 0x00,
	0x15, 0x1c, 0x88, 0x44, 0xf1, 0x07, 0x00, 0x09, 0x0d, 0xd8, 0x0c, 0x13, 0xf6, 0x03, 0x02,
	0x09, 0x0a, 0xf1, 0x06, 0x00, 0x15, 0x1c, 0xf1, 0x09, 0x05, 0x0c, 0x06, 0xf0, 0x00, 0x05,
	0x05, 0x06, 0xf7, 0x25, 0x03, 0x12, 0x0e, 0xf5, 0x00, 0x03, 0x12, 0x0e, 0xfb, 0xf4, 0x0e,
	0x00, 0x11, 0x18, 0xdc, 0x10, 0x1a, 0xf0, 0x03, 0x01, 0x10, 0x1c, 0xf3, 0x00, 0x03, 0x09,
	0x15, 0xe0, 0x0f, 0x16, 0xa0, 0x21, 0x99, 0x29, 0xd3, 0x0f, 0x23, 0xa0, 0x55, 0xdb, 0x0c,
	0x14, 0xe0, 0x0c, 0x13, 0xd8, 0x10, 0x11, 0xd8, 0x10, 0x15, 0xf1, 0x03, 0x01, 0x11, 0x16,
	0xf1, 0x03, 0x03, 0x0d, 0x0e, 0x8a, 0x47, 0xfb, 0xf0, 0x0b, 0x03, 0x09, 0x15, 0xfb, 0xf0,
	0x0a, 0x00, 0x0d, 0x14, 0xd8, 0x10, 0x11, 0xd8, 0x10, 0x15, 0xf1, 0x03, 0x01, 0x11, 0x16,
	0xf1, 0x03, 0x03, 0x0d, 0x0e, 0x89, 0x47, 0xfc, 0xf2, 0x0c, 0x05, 0x0c, 0x06};
static const struct run subject_3_13_runs[] = {
	{0, 4},	   {2, 6},    {10, 7},	 {38, 8},   {40, 9},   {62, 10},  {64, 11},  {66, 9},
	{72, 12},  {74, 13},  {96, 14},	 {104, 13}, {114, 9},  {130, 21}, {132, 22}, {134, 23},
	{136, 22}, {140, 21}, {150, 7},	 {154, 25}, {168, 26}, {178, 25}, {196, 31}, {200, 27},
	{208, 31}, {214, 28}, {218, 29}, {220, 28}, {234, 31}, {238, 27}, {244, 9},  {272, 0},
	{280, 16}, {290, 17}, {300, 16}, {310, 18}, {328, 19}, {336, 21}, {338, 22}, {340, 23},
	{342, 22}, {346, 21}, {356, 0},	 {364, 16}, {366, 0},  {374, 21}, {376, 22}, {378, 23},
	{380, 22}, {384, 21}, {392, 0},	 {402, 27}, {408, 0}};

#define TABLE(name) name, sizeof(name), name##_runs, ARRAY_SIZE(name##_runs)

static const struct sample {
	const char *name;
	enum python_lines format;
	int first_line;
	const uint8_t *table;
	size_t len;
	const struct run *runs;
	size_t nr_runs;
} samples[] = {
	{"subject, 3.8", PYTHON_LINES_LNOTAB, 4, TABLE(subject_3_8)},
	{"far, 3.8", PYTHON_LINES_LNOTAB, 1, TABLE(far_3_8)},
	{"wide, 3.8", PYTHON_LINES_LNOTAB, 1, TABLE(wide_3_8)},
	{"subject, 3.9", PYTHON_LINES_LNOTAB, 4, TABLE(subject_3_9)},
	{"subject, 3.10", PYTHON_LINES_RANGES, 4, TABLE(subject_3_10)},
	{"far, 3.10", PYTHON_LINES_RANGES, 1, TABLE(far_3_10)},
	{"wide, 3.10", PYTHON_LINES_RANGES, 1, TABLE(wide_3_10)},
	{"subject, 3.11", PYTHON_LINES_LOCATIONS, 4, TABLE(subject_3_11)},
	{"tight, 3.11", PYTHON_LINES_LOCATIONS, 1, TABLE(tight_3_11)},
	{"far, 3.12", PYTHON_LINES_LOCATIONS, 1, TABLE(far_3_12)},
	{"tight, 3.12", PYTHON_LINES_LOCATIONS, 1, TABLE(tight_3_12)},
	{"subject, 3.13", PYTHON_LINES_LOCATIONS, 4, TABLE(subject_3_13)},
};

/* In memory of just that size, so that a sanitizer sees one byte too many. */
static uint32_t line_at(enum python_lines format, const uint8_t *table, size_t len, int first_line,
			uint64_t instr)
{
	uint8_t *copy = malloc(len ? len : 1);
	uint32_t line;

	assert_non_null(copy);
	if (len)
		memcpy(copy, table, len);
	line = python_line(format, len ? copy : copy + 1, len, first_line, instr);
	free(copy);
	return line;
}

/* Of every instruction. */
static void test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		const struct sample *s = &samples[i];

		for (size_t j = 0; j + 1 < s->nr_runs; j++) {
			for (uint32_t at = s->runs[j].instr; at < s->runs[j + 1].instr; at += 2) {
				uint32_t line =
					line_at(s->format, s->table, s->len, s->first_line, at);

				if (line != s->runs[j].line)
					fail_msg("%s: byte %u: line %u, not %u", s->name, at, line,
						 s->runs[j].line);
			}
		}
	}
}

/* Control: read as another format, or with another first line, the same tables say something
 * else. */
static void test_other_format(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		const struct sample *s = &samples[i];
		uint32_t middle = s->runs[s->nr_runs / 2].instr;
		uint32_t line = s->runs[s->nr_runs / 2].line, wrong = 0;

		assert_int_equal(line_at(s->format, s->table, s->len, s->first_line + 5, middle),
				 line ? line + 5 : 0);
		for (int format = PYTHON_LINES_LNOTAB; format <= PYTHON_LINES_LOCATIONS; format++) {
			if (format == (int)s->format)
				continue;
			wrong = 0;
			for (size_t j = 0; j + 1 < s->nr_runs; j++)
				wrong +=
					line_at((enum python_lines)format, s->table, s->len,
						s->first_line, s->runs[j].instr) != s->runs[j].line;
			if (!wrong)
				fail_msg("%s: right in format %d, too", s->name, format);
		}
	}
}

static void test_past_the_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		const struct sample *s = &samples[i];
		uint32_t end = s->runs[s->nr_runs - 1].instr, last = s->runs[s->nr_runs - 2].line;
		/* co_lnotab does not say where the code ends. */
		uint32_t expected = s->format == PYTHON_LINES_LNOTAB ? last : 0;

		assert_int_equal(line_at(s->format, s->table, s->len, s->first_line, end),
				 expected);
		assert_int_equal(line_at(s->format, s->table, s->len, s->first_line, UINT64_MAX),
				 expected);
	}
}

/* A cut table is read to its end, never past it. */
static void test_truncated(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		const struct sample *s = &samples[i];
		uint32_t end = s->runs[s->nr_runs - 1].instr, known = 0;

		for (size_t len = 0; len < s->len; len++)
			for (uint32_t at = 0; at <= end; at += 2)
				known += line_at(s->format, s->table, len, s->first_line, at) != 0;
		assert_true(known > 0);
		/* Of nothing, co_lnotab makes the first line; the others say so. */
		assert_int_equal(line_at(s->format, s->table, 0, s->first_line, 0),
				 s->format == PYTHON_LINES_LNOTAB ? s->first_line : 0);
	}
}

/* Where the cut lies behind the instruction, the answer is the same. */
static void test_truncated_behind(void **state)
{
	/* Six bytes: a byte of the second pair is gone. */
	static const uint8_t ranges[] = {6, 1, 8, 3, 4, 1};
	/* Kind 10, two units; kind 11, three units; kind 15, one unit. */
	static const uint8_t locations[] = {0xd1, 0, 4, 0xda, 2, 9, 0xf8};
	static const uint8_t lnotab[] = {0, 1, 6, 2, 8, 1};

	(void)state;
	assert_int_equal(line_at(PYTHON_LINES_RANGES, ranges, 6, 10, 4), 11);
	assert_int_equal(line_at(PYTHON_LINES_RANGES, ranges, 3, 10, 4), 11);
	assert_int_equal(line_at(PYTHON_LINES_RANGES, ranges, 6, 10, 6), 14);
	assert_int_equal(line_at(PYTHON_LINES_RANGES, ranges, 3, 10, 6), 0);
	assert_int_equal(line_at(PYTHON_LINES_LOCATIONS, locations, 7, 10, 2), 10);
	assert_int_equal(line_at(PYTHON_LINES_LOCATIONS, locations, 2, 10, 2), 10);
	assert_int_equal(line_at(PYTHON_LINES_LOCATIONS, locations, 7, 10, 4), 11);
	assert_int_equal(line_at(PYTHON_LINES_LOCATIONS, locations, 3, 10, 4), 0);
	assert_int_equal(line_at(PYTHON_LINES_LOCATIONS, locations, 7, 10, 10), 0);
	assert_int_equal(line_at(PYTHON_LINES_LNOTAB, lnotab, 6, 10, 6), 13);
	assert_int_equal(line_at(PYTHON_LINES_LNOTAB, lnotab, 5, 10, 30), 13);
	assert_int_equal(line_at(PYTHON_LINES_LNOTAB, lnotab, 6, 10, 30), 14);
}

/* Lines that go below 1 are none. */
static void test_below_the_first_line(void **state)
{
	static const uint8_t lnotab[] = {0, 0x80, 6, 0x7f}, ranges[] = {6, 0x81, 6, 0x7f};
	/* Kind 13 with a delta of -20, then of +20; a unit each. */
	static const uint8_t locations[] = {0xe8, 41, 0xe8, 40};

	(void)state;
	assert_int_equal(line_at(PYTHON_LINES_LNOTAB, lnotab, sizeof(lnotab), 10, 0), 0);
	assert_int_equal(line_at(PYTHON_LINES_LNOTAB, lnotab, sizeof(lnotab), 10, 6), 9);
	assert_int_equal(line_at(PYTHON_LINES_RANGES, ranges, sizeof(ranges), 10, 0), 0);
	assert_int_equal(line_at(PYTHON_LINES_RANGES, ranges, sizeof(ranges), 10, 6), 10);
	assert_int_equal(line_at(PYTHON_LINES_LOCATIONS, locations, sizeof(locations), 10, 0), 0);
	assert_int_equal(line_at(PYTHON_LINES_LOCATIONS, locations, sizeof(locations), 10, 2), 10);
}

/* Bytes that are no table: an answer, or none, but an end. */
static void test_broken(void **state)
{
	uint8_t noise[512], ones[64];
	uint32_t seed = 7;

	(void)state;
	/* An entry begins with the top bit set; varints without an end. */
	assert_int_equal(line_at(PYTHON_LINES_LOCATIONS, (const uint8_t *)"\x51\x01", 2, 10, 0), 0);
	memset(ones, 0x7f, sizeof(ones));
	ones[0] = 0xe8;
	(void)line_at(PYTHON_LINES_LOCATIONS, ones, sizeof(ones), 10, 0);
	for (int round = 0; round < 200; round++) {
		for (size_t i = 0; i < sizeof(noise); i++) {
			seed = seed * 1103515245 + 12345;
			noise[i] = (uint8_t)(seed >> 16);
		}
		for (int format = PYTHON_LINES_LNOTAB; format <= PYTHON_LINES_LOCATIONS; format++)
			for (uint64_t at = 0; at < 512; at += 6)
				(void)line_at((enum python_lines)format, noise,
					      sizeof(noise) - (size_t)round, round, at);
	}
}

/* --- layouts ---------------------------------------------------------------------------------- */

static void put_word(uint8_t *head, unsigned int index, uint64_t value)
{
	memcpy(head + 8 * index, &value, sizeof(value));
}

/* _Py_DebugOffsets of 3.13 (or later) in which each word tells its own index: 1000 + it. Those of
 * the code object, whose order counts, tell twice their index. */
static void make_head(uint8_t head[PYTHON_DEBUG_OFFSETS_LEN], int minor)
{
	unsigned int code = minor == 13 ? 34 : 39;

	for (unsigned int i = 0; i < PYTHON_DEBUG_OFFSETS_LEN / 8; i++)
		put_word(head, i, 1000 + i);
	for (unsigned int i = code; i < code + 10; i++)
		put_word(head, i, 2 * i);
	put_word(head, code + 5, 2 * code - 12); /* co_firstlineno stands before the others */
	memcpy(head, "xdebugpy", 8);
	put_word(head, 2, 0);
}

static const struct tabled {
	int minor;
	enum python_lines lines;
	uint8_t instr_bytes;
	bool qualname, cframe, owner;
	uint16_t identity, identity_len, code_version; /* from the first line, or before, on */
} tabled[] = {
	{8, PYTHON_LINES_LNOTAB, 4, false, false, false, 40, 88, CHURN_PY_NONE},
	{9, PYTHON_LINES_LNOTAB, 4, false, false, false, 40, 88, CHURN_PY_NONE},
	{10, PYTHON_LINES_RANGES, 4, false, false, false, 40, 88, CHURN_PY_NONE},
	{11, PYTHON_LINES_LOCATIONS, 8, true, true, false, 72, 72, CHURN_PY_NONE},
	{12, PYTHON_LINES_LOCATIONS, 8, true, true, true, 64, 80, 92},
};

static void test_minors(void **state)
{
	uint8_t nothing[PYTHON_DEBUG_OFFSETS_LEN] = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tabled); i++) {
		struct python_code_layout code;
		struct churn_python python;

		memset(&code, 0xaa, sizeof(code));
		memset(&python, 0xaa, sizeof(python));
		/* The head says nothing, and need not. */
		assert_int_equal(python_layout(&python, &code, tabled[i].minor, nothing), 0);
		assert_int_equal(code.line_format, tabled[i].lines);
		assert_int_equal(python.instr_bytes, tabled[i].instr_bytes);
		assert_int_equal(code.name, code.filename + (tabled[i].qualname ? 16 : 8));
		assert_int_equal(code.code != CHURN_PY_NONE, tabled[i].qualname);
		assert_int_equal(python.cframe_frame != CHURN_PY_NONE, tabled[i].cframe);
		assert_int_equal(python.frame_owner != CHURN_PY_NONE, tabled[i].owner);
		assert_int_equal(python.code_tag, 0);
		assert_int_equal(python.identity, tabled[i].identity);
		assert_int_equal(python.identity_len, tabled[i].identity_len);
		assert_int_equal(python.code_version, tabled[i].code_version);
		assert_int_equal(python.generation, CHURN_PY_NONE);
		assert_int_equal(python.generation_len, 0);
	}
}

/* From 3.13 on the process itself says where its fields are. */
static void test_debug_offsets(void **state)
{
	uint8_t head[PYTHON_DEBUG_OFFSETS_LEN];
	struct python_code_layout code;
	struct churn_python python;

	(void)state;
	make_head(head, 13);
	assert_int_equal(python_layout(&python, &code, 13, head), 0);
	assert_int_equal(python.interpreters_head, 1005);
	assert_int_equal(python.thread_frame, 1023);
	assert_int_equal(python.frame_code, 1030);
	assert_int_equal(python.frame_owner, 1033);
	assert_int_equal(python.code_tag, 0);
	assert_int_equal(python.instr_bytes, 8);
	assert_int_equal(python.cframe_frame, CHURN_PY_NONE);
	assert_int_equal(python.thread_interpreter, 1022);
	assert_int_equal(code.filename, 70);
	assert_int_equal(code.name, 74);
	assert_int_equal(code.code, 86);
	assert_int_equal(code.line_format, PYTHON_LINES_LOCATIONS);
	assert_int_equal(python.identity, 56);
	assert_int_equal(python.identity_len, 76 + 8 - 56);
	assert_int_equal(python.code_version, CHURN_PY_NONE);
	assert_int_equal(python.generation, CHURN_PY_NONE);
	assert_int_equal(python.generation_len, 0);
	make_head(head, 14);
	assert_int_equal(python_layout(&python, &code, 14, head), 0);
	assert_int_equal(python.thread_frame, 1026);
	assert_int_equal(python.thread_interpreter, 1025);
	assert_int_equal(python.code_tag, 3);
	assert_int_equal(python.runtime_len, 1003);
	assert_int_equal(python.generation, 1020);
	assert_int_equal(python.generation_len, 8);
	assert_int_equal(code.filename, 80);
}

/* Words of _PyRuntime in a 3.13.0, the cookie first. */
static const uint64_t head_3_13[] = {0x7970677562656478,
				     0x30d00f0,
				     0,
				     283320,
				     608,
				     632,
				     194968,
				     7272,
				     7264,
				     7344,
				     7400,
				     7656,
				     7640,
				     7648,
				     16,
				     7752,
				     0,
				     7768,
				     7760,
				     304,
				     0,
				     8,
				     16,
				     72,
				     152,
				     160,
				     232,
				     32,
				     80,
				     8,
				     0,
				     56,
				     72,
				     70,
				     208,
				     112,
				     120,
				     128,
				     136,
				     68,
				     52,
				     96,
				     104,
				     200,
				     16,
				     8,
				     416,
				     24,
				     88,
				     168};

/* The head of a 3.13.0 as it stands in its memory. */
static void test_real_head(void **state)
{
	uint8_t head[PYTHON_DEBUG_OFFSETS_LEN] = {0};
	struct python_code_layout code;
	struct churn_python python;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(head_3_13); i++)
		put_word(head, (unsigned int)i, head_3_13[i]);
	memcpy(head, "xdebugpy", 8);
	assert_int_equal(head_3_13[1] >> 16, 0x030d);
	assert_int_equal(python_layout(&python, &code, 13, head), 0);
	/* As in pycore_frame.h, pycore_interp.h, cpython/pystate.h and cpython/code.h of 3.13. */
	assert_int_equal(python.frame_code, 0);
	assert_int_equal(python.frame_previous, 8);
	assert_int_equal(python.frame_instr, 56);
	assert_int_equal(python.frame_owner, 70);
	assert_int_equal(python.thread_frame, 72);
	assert_int_equal(python.thread_next, 8);
	assert_int_equal(python.thread_id, 152);
	assert_int_equal(code.first_line, 68);
	assert_int_equal(code.filename, 112);
	assert_int_equal(code.name, 128);
	assert_int_equal(code.lines, 136);
	assert_int_equal(python.code_version, 92);
	assert_int_equal(python.thread_interpreter, 16);
	assert_int_equal(python.runtime_len, 283320);
	assert_int_equal(python.generation, 17000);
	assert_int_equal(python.generation_len, 4);
	/* Of an interpreter of another size it is not known where that is. */
	put_word(head, 6, 194968 + 16);
	assert_int_equal(python_layout(&python, &code, 13, head), 0);
	assert_int_equal(python.generation_len, 0);
}

/* An offset that fits no field must not be cut to one that does. */
static void test_offset_out_of_range(void **state)
{
	static const uint64_t far[] = {CHURN_PY_NONE, 0x10008, UINT64_MAX};
	uint8_t head[PYTHON_DEBUG_OFFSETS_LEN];
	struct python_code_layout code;
	struct churn_python python;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(far); i++) {
		make_head(head, 13);
		put_word(head, 35, far[i]);
		put_word(head, 31, far[i]);
		assert_int_equal(python_layout(&python, &code, 13, head), 0);
		assert_int_equal(code.filename, CHURN_PY_NONE);
		assert_int_equal(python.frame_instr, CHURN_PY_NONE);
		assert_int_equal(code.name, 74);
	}
}

/* What tells code objects apart must be in them, and side by side. */
static void test_identity_out_of_range(void **state)
{
	static const struct {
		uint64_t first_line, lines;
	} wrong[] = {{76, 68},	      {8, 136}, {8, 249}, {240, 256}, {CHURN_PY_NONE, 76},
		     {56, UINT64_MAX}};
	uint8_t head[PYTHON_DEBUG_OFFSETS_LEN];
	struct python_code_layout code;
	struct churn_python python;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		make_head(head, 13);
		put_word(head, 39, wrong[i].first_line);
		put_word(head, 38, wrong[i].lines);
		assert_int_equal(python_layout(&python, &code, 13, head), -ENOTSUP);
	}
}

static void test_not_known(void **state)
{
	static const int minors[] = {-1, 0, 6, 7, 15, 16, 99};
	uint8_t head[PYTHON_DEBUG_OFFSETS_LEN];
	struct python_code_layout code;
	struct churn_python python;

	(void)state;
	make_head(head, 13);
	for (size_t i = 0; i < ARRAY_SIZE(minors); i++)
		assert_int_equal(python_layout(&python, &code, minors[i], head), -ENOTSUP);
}

static void test_free_threaded(void **state)
{
	uint8_t head[PYTHON_DEBUG_OFFSETS_LEN];
	struct python_code_layout code;
	struct churn_python python;

	(void)state;
	for (int minor = 13; minor <= 14; minor++) {
		make_head(head, minor);
		assert_int_equal(python_layout(&python, &code, minor, head), 0);
		put_word(head, 2, 1);
		assert_int_equal(python_layout(&python, &code, minor, head), -ENOTSUP);
	}
}

static void test_wrong_cookie(void **state)
{
	uint8_t head[PYTHON_DEBUG_OFFSETS_LEN];
	struct python_code_layout code;
	struct churn_python python;

	(void)state;
	for (int minor = 13; minor <= 14; minor++) {
		for (int byte = 0; byte < 8; byte++) {
			make_head(head, minor);
			head[byte] ^= 1;
			assert_int_equal(python_layout(&python, &code, minor, head), -ENOTSUP);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_other_format),
		cmocka_unit_test(test_past_the_end),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_truncated_behind),
		cmocka_unit_test(test_below_the_first_line),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_minors),
		cmocka_unit_test(test_debug_offsets),
		cmocka_unit_test(test_real_head),
		cmocka_unit_test(test_offset_out_of_range),
		cmocka_unit_test(test_identity_out_of_range),
		cmocka_unit_test(test_not_known),
		cmocka_unit_test(test_free_threaded),
		cmocka_unit_test(test_wrong_cookie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
