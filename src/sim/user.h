// SPDX-License-Identifier: MIT
/* Somebody at a machine who asks its node now and then, over its local HTTP address, and looks how
 * each question ends. Exactly one end is legal:
 *
 *   asked --200, [DONE] and what was asked for--> answered
 *     |----a status from 400, or an error event without [DONE]--> failed, with a code
 *     \----the machine is gone--> abandoned
 *
 * Both, neither, a wrong answer and no end within the deadline are violations. */
#ifndef CONDUIT_SIM_USER_H
#define CONDUIT_SIM_USER_H

struct sim_box;
struct sim_user;

struct sim_user *sim_user_new(struct sim_box *b);
void sim_user_rest(struct sim_user *u); /* asks no more; what runs goes on */
void sim_user_free(struct sim_user *u); /* what runs is abandoned */

#endif
