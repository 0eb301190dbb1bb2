// SPDX-License-Identifier: MIT
/* The checks of a running node that need no waiting: who it is, how it is reached, what it serves. */
#ifndef CONDUIT_NODE_DOCTOR_LOOK_H
#define CONDUIT_NODE_DOCTOR_LOOK_H

#include "node/doctor_report.h"

#include <stdbool.h>

struct node;
/* Something has only just begun that the checks are about: a bootstrap address not tried yet, or whose node has
 * not said what it is; whether strangers can dial us. */
bool doctor_look_is_early(struct node *n);
void doctor_look(struct doctor_report *r, struct node *n);

#endif
