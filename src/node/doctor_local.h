// SPDX-License-Identifier: MIT
/* What can be seen of this machine without a node: ports, files, the clock, the data directory, the engine.
 * Blocking, but quick: for the command. Looks at real files and sockets; changes nothing. */
#ifndef CONDUIT_NODE_DOCTOR_LOCAL_H
#define CONDUIT_NODE_DOCTOR_LOCAL_H

#include "node/config.h"
#include "node/doctor_report.h"

/* `dir`: the data directory that the configuration means. `is_running`: a node holds it, and with it its
 * ports. */
void doctor_local(struct doctor_report *r, const struct config *cfg, const char *dir,
                  bool is_running);

/* --- the single checks, for tests --- */
void doctor_check_port(struct doctor_report *r, const char *name, const char *host, unsigned port,
                       const char *flag);
void doctor_check_files(struct doctor_report *r, uint64_t soft, uint64_t hard);
void doctor_check_clock(struct doctor_report *r, uint64_t wall_ms);
void doctor_check_dir(struct doctor_report *r, const char *dir);
void doctor_check_engine(struct doctor_report *r, const struct config *cfg);
/* An engine that was found at `path`, on a machine with or without a GPU. */
void doctor_check_gpu(struct doctor_report *r, const char *path, unsigned build, bool there_is_one);
/* "nginx, pid 4711": who listens on that TCP port, as far as this user may see; false: not known. */
bool doctor_port_holder(unsigned port, char *out, size_t size);

#endif
