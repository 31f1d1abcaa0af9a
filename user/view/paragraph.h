/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Running text, wrapped at blanks to the width of the report. */
#ifndef CHURN_VIEW_PARAGRAPH_H
#define CHURN_VIEW_PARAGRAPH_H

#include <stdio.h>

/*
 * The first line begins with `first`, the others with `indent` blanks. Text is cleaned; a number
 * stays with its unit, and a word longer than a line is broken.
 */
void put_paragraph(FILE *out, unsigned int width, const char *first, unsigned int indent,
		   const char *text);

#endif /* CHURN_VIEW_PARAGRAPH_H */
