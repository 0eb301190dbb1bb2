// SPDX-License-Identifier: MIT
/* The checks of a running node that need no waiting: who it is, how it is reached, what it serves. */
#ifndef CONDUIT_NODE_DOCTOR_LOOK_H
#define CONDUIT_NODE_DOCTOR_LOOK_H

#include "node/doctor_report.h"

struct node;
void doctor_look(struct doctor_report *r, struct node *n);

#endif
