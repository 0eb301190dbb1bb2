// SPDX-License-Identifier: MIT
/* Reading the documents that report.h and dht_report.h turn into text. */
#ifndef CONDUIT_NODE_REPORT_IMPL_H
#define CONDUIT_NODE_REPORT_IMPL_H

#include "codec/json.h"

/* The document when its `list` member is an array (NULL: when it is an object), json_free() after use; else NULL. */
struct json_doc *report_document(struct bytes text, const char *list);

/* The member as a whole number; 0 when it is missing, negative or not a number of that size. */
uint64_t report_number(const struct json *o, const char *key);

#endif
